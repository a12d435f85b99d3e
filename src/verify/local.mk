# src/verify: parity with expected tensors
src_libhymn_a_SOURCES += \
  src/verify/bag.c src/verify/bag.h \
  src/verify/check.c \
  src/verify/compare.h \
  src/verify/case.c src/verify/case.h \
  src/verify/compare_decode.c \
  src/verify/compare_forward.c \
  src/verify/compare_train.c

dist_input_DATA += input/compare.nml
