# src/gpu: the host side of the CUDA backend; what is here needs no CUDA
src_libhymn_a_SOURCES += \
  src/gpu/device.c src/gpu/device.h \
  src/gpu/gpu_module.h \
  src/gpu/gpu_plan.c src/gpu/gpu_plan.h \
  src/gpu/plan_norm.c \
  src/gpu/plan_ssd.c \
  src/gpu/plan_attention.c \
  src/gpu/plan_moe.c \
  src/gpu/plan_dense.c
