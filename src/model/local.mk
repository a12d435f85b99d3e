# src/model
src_libhymn_a_SOURCES += \
  src/model/cfg.c src/model/cfg.h \
  src/model/cfg_table.c src/model/cfg_table.h \
  src/model/cfg_write.c \
  src/model/count.c src/model/count.h \
  src/model/decilm.c src/model/decilm.h
src_libhymn_a_SOURCES += \
  src/model/model.c src/model/model.h \
  src/model/host.c src/model/host.h \
  src/model/layout.c \
  src/model/pipe.c src/model/pipe.h \
  src/model/record.c src/model/record.h \
  src/model/params.c src/model/params.h src/model/params_impl.h \
  src/model/schedule.c src/model/schedule.h \
  src/model/stage.c src/model/stage.h \
  src/model/store.c src/model/store.h \
  src/model/workspace.c src/model/workspace.h

HYMN_TEST_TINY = src/model/test_tiny.h src/cpu/test_op.h
hymn_unit_tests += src/model/test_model
src_model_test_model_SOURCES = src/model/test_model.c $(HYMN_TEST_TINY)
src_model_test_model_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_model_grad
src_model_test_model_grad_SOURCES = src/model/test_model_grad.c \
  $(HYMN_TEST_TINY)
src_model_test_model_grad_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_params
src_model_test_params_SOURCES = src/model/test_params.c $(HYMN_TEST_TINY)
src_model_test_params_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_own
src_model_test_own_SOURCES = src/model/test_own.c $(HYMN_TEST_TINY)
src_model_test_own_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_stage
src_model_test_stage_SOURCES = src/model/test_stage.c $(HYMN_TEST_TINY)
src_model_test_stage_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_layout_mpi
src_model_test_layout_mpi_SOURCES = src/model/test_layout_mpi.c \
  $(HYMN_TEST_TINY)
src_model_test_layout_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_tp
src_model_test_tp_SOURCES = src/model/test_tp.c $(HYMN_TEST_TINY)
src_model_test_tp_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/model/test_replay
src_model_test_replay_SOURCES = src/model/test_replay.c $(HYMN_TEST_TINY)
src_model_test_replay_LDADD = $(HYMN_TEST_LIBS)
