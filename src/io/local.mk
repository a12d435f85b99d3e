# src/io: weight folders, checkpoints
src_libhymn_a_SOURCES += \
  src/io/ckpt.h src/io/ckpt_impl.h \
  src/io/ckpt_find.c \
  src/io/ckpt_head.c \
  src/io/ckpt_inspect.c \
  src/io/ckpt_io.c \
  src/io/ckpt_read.c \
  src/io/ckpt_save.c \
  src/io/ckpt_state.c \
  src/io/ckpt_verify.c \
  src/io/ckpt_write.c \
  src/io/hf.c src/io/hf.h \
  src/io/hf_content.c \
  src/io/hf_export.c \
  src/io/hf_files.c \
  src/io/hf_inspect.c \
  src/io/hf_plan.c src/io/hf_plan.h \
  src/io/history.c src/io/history.h \
  src/io/safetensors.c src/io/safetensors.h src/io/st_impl.h \
  src/io/safetensors_write.c \
  src/io/source.c src/io/source.h \
  src/io/st_folder.c

hymn_unit_tests += src/io/test_cfg src/io/test_safetensors
src_io_test_cfg_SOURCES = src/io/test_cfg.c
src_io_test_cfg_LDADD = $(HYMN_TEST_LIBS)
src_io_test_safetensors_SOURCES = src/io/test_safetensors.c
src_io_test_safetensors_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/io/test_ckpt_mpi
src_io_test_ckpt_mpi_SOURCES = src/io/test_ckpt_mpi.c src/io/test_rig.h
src_io_test_ckpt_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/io/test_hf_mpi
src_io_test_hf_mpi_SOURCES = src/io/test_hf_mpi.c src/io/test_rig.h
src_io_test_hf_mpi_LDADD = $(HYMN_TEST_LIBS)

dist_input_DATA += input/export.nml input/import.nml
