# src/op: the op table, the tape and the regions
src_libhymn_a_SOURCES += \
  src/op/cache.h \
  src/op/cost.c src/op/cost.h \
  src/op/op.c src/op/op.h src/op/ops.def \
  src/op/region.c src/op/region.h \
  src/op/tape.c src/op/tape.h \
  src/op/tensor.h
