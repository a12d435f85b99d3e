# src/plan: what a run needs, before it runs
src_libhymn_a_SOURCES += \
  src/plan/estimate.c src/plan/estimate.h \
  src/plan/forecast.c src/plan/forecast.h \
  src/plan/room.c src/plan/room.h \
  src/plan/machine.c src/plan/machine.h

hymn_unit_tests += src/plan/test_plan
src_plan_test_plan_SOURCES = src/plan/test_plan.c
src_plan_test_plan_LDADD = $(HYMN_TEST_LIBS)
