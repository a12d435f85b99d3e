# src/data: packed token files, foreign formats, batches
src_libhymn_a_SOURCES += \
  src/data/batch.c src/data/batch.h \
  src/data/cut.c src/data/cut.h \
  src/data/ngram.c src/data/ngram.h \
  src/data/packed.c src/data/packed.h \
  src/data/packed_impl.c src/data/packed_impl.h \
  src/data/packed_inspect.c src/data/packed_write.c

hymn_unit_tests += src/data/test_cut
src_data_test_cut_SOURCES = src/data/test_cut.c
src_data_test_cut_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_packed_mpi
src_data_test_packed_mpi_SOURCES = src/data/test_packed_mpi.c src/data/test_pack.h
src_data_test_packed_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_batch_mpi
src_data_test_batch_mpi_SOURCES = src/data/test_batch_mpi.c src/data/test_pack.h
src_data_test_batch_mpi_LDADD = $(HYMN_TEST_LIBS)

# --- Megatron's indexed data --------------------------------------------------
src_libhymn_a_SOURCES += \
  src/data/indexed.c src/data/indexed.h src/data/indexed_impl.h \
  src/data/indexed_put.c src/data/indexed_write.c src/data/rows_indexed.c

hymn_unit_tests += src/data/test_indexed_mpi
src_data_test_indexed_mpi_SOURCES = src/data/test_indexed_mpi.c
src_data_test_indexed_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_rows_mpi
src_data_test_rows_mpi_SOURCES = src/data/test_rows_mpi.c
src_data_test_rows_mpi_LDADD = $(HYMN_TEST_LIBS)
EXTRA_DIST += \
  regression/fixtures/indexed/README \
  regression/fixtures/indexed/bad_dtype.idx \
  regression/fixtures/indexed/bad_magic.idx \
  regression/fixtures/indexed/bad_truncated.idx \
  regression/fixtures/indexed/bad_version.idx \
  regression/fixtures/indexed/megatron_edge_i32.bin \
  regression/fixtures/indexed/megatron_edge_i32.expected.json \
  regression/fixtures/indexed/megatron_edge_i32.idx \
  regression/fixtures/indexed/megatron_edge_u8.bin \
  regression/fixtures/indexed/megatron_edge_u8.expected.json \
  regression/fixtures/indexed/megatron_edge_u8.idx \
  regression/fixtures/indexed/megatron_i32.bin \
  regression/fixtures/indexed/megatron_i32.expected.json \
  regression/fixtures/indexed/megatron_i32.idx \
  regression/fixtures/indexed/megatron_u16.bin \
  regression/fixtures/indexed/megatron_u16.expected.json \
  regression/fixtures/indexed/megatron_u16.idx

# --- Parquet ------------------------------------------------------------------
EXTRA_DIST += src/data/parquet.h

# --- sources of rows, blends --------------------------------------------------
src_libhymn_a_SOURCES += \
  src/data/rows.c src/data/rows.h \
  src/data/rows_mock.c src/data/rows_packed.c
