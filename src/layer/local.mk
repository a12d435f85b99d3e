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
