# src/layer: one file a layer type, forward only
src_libhymn_a_SOURCES += \
  src/layer/attention.c \
  src/layer/layer.h src/layer/layers.def \
  src/layer/mamba.c \
  src/layer/mlp.c \
  src/layer/moe.c \
  src/layer/piece.c src/layer/piece.h \
  src/layer/plan.c src/layer/plan.h \
  src/layer/shard.c

hymn_unit_tests += src/layer/test_moe
src_layer_test_moe_SOURCES = src/layer/test_moe.c src/model/test_tiny.h \
  src/cpu/test_op.h
src_layer_test_moe_LDADD = $(HYMN_TEST_LIBS)
