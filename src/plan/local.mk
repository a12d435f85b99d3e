# src/plan: what a run needs, before it runs
src_libhymn_a_SOURCES += \
  src/plan/estimate.c src/plan/estimate.h \
  src/plan/forecast.c src/plan/forecast.h \
  src/plan/machine.c src/plan/machine.h
