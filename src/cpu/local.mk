# src/cpu: fp32 bodies of the ops, the reference
src_libhymn_a_SOURCES += \
  src/cpu/cpu.c src/cpu/cpu.h \
  src/cpu/cpu_attention.c src/cpu/cpu_attention.h \
  src/cpu/cpu_attention_bwd.c \
  src/cpu/cpu_ce.c \
  src/cpu/cpu_conv.c \
  src/cpu/cpu_linear.c \
  src/cpu/cpu_moe.c \
  src/cpu/cpu_norm.c \
  src/cpu/cpu_pointwise.c \
  src/cpu/cpu_ssd.c src/cpu/cpu_ssd.h \
  src/cpu/cpu_ssd_bwd.c
