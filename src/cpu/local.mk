# src/cpu: fp32 bodies of the ops, the reference
src_libhymn_a_SOURCES += \
  src/cpu/cpu.c src/cpu/cpu.h \
  src/cpu/cpu_attention.c src/cpu/cpu_attention.h \
  src/cpu/cpu_attention_bwd.c \
  src/cpu/cpu_balance.c \
  src/cpu/cpu_ce.c \
  src/cpu/cpu_conv.c \
  src/cpu/cpu_exp.h \
  src/cpu/cpu_kit.c src/cpu/cpu_kit.h \
  src/cpu/cpu_linear.c \
  src/cpu/cpu_moe.c src/cpu/cpu_moe.h \
  src/cpu/cpu_norm.c \
  src/cpu/cpu_norm_part.c \
  src/cpu/cpu_optim.c \
  src/cpu/cpu_pointwise.c \
  src/cpu/cpu_ssd.c src/cpu/cpu_ssd.h \
  src/cpu/cpu_ssd_bwd.c src/cpu/cpu_ssd_state.c \
  src/cpu/cpu_travel.c

hymn_unit_tests += src/cpu/test_attention src/cpu/test_conv src/cpu/test_ssd
src_cpu_test_attention_SOURCES = src/cpu/test_attention.c src/cpu/test_op.h
src_cpu_test_attention_LDADD = $(HYMN_TEST_LIBS)
src_cpu_test_conv_SOURCES = src/cpu/test_conv.c src/cpu/test_op.h
src_cpu_test_conv_LDADD = $(HYMN_TEST_LIBS)
src_cpu_test_ssd_SOURCES = src/cpu/test_ssd.c src/cpu/test_op.h
src_cpu_test_ssd_LDADD = $(HYMN_TEST_LIBS)
