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
  src/data/indexed_inspect.c \
  src/data/indexed_put.c src/data/indexed_write.c src/data/rows_indexed.c

hymn_unit_tests += src/data/test_indexed_mpi
src_data_test_indexed_mpi_SOURCES = src/data/test_indexed_mpi.c
src_data_test_indexed_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_rows_mpi
src_data_test_rows_mpi_SOURCES = src/data/test_rows_mpi.c
src_data_test_rows_mpi_LDADD = $(HYMN_TEST_LIBS)
EXTRA_DIST += \
  regression/fixtures/indexed/README \
  regression/fixtures/indexed/docs.jsonl \
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
src_libhymn_a_SOURCES += \
  src/data/parquet.c src/data/parquet.h src/data/parquet_impl.h \
  src/data/parquet_codec.c src/data/parquet_encoding.c \
  src/data/parquet_meta.c src/data/parquet_page.c \
  src/data/parquet_row.c src/data/parquet_schema.c \
  src/data/thrift.c src/data/thrift.h

hymn_unit_tests += src/data/test_parquet
src_data_test_parquet_SOURCES = src/data/test_parquet.c
src_data_test_parquet_LDADD = $(HYMN_TEST_LIBS)
EXTRA_DIST += \
  regression/fixtures/parquet/README \
  regression/fixtures/parquet/make.py \
  regression/fixtures/parquet/brotli.parquet \
  regression/fixtures/parquet/decimal38.parquet \
  regression/fixtures/parquet/delta.jsonl \
  regression/fixtures/parquet/delta.parquet \
  regression/fixtures/parquet/empty.jsonl \
  regression/fixtures/parquet/empty.parquet \
  regression/fixtures/parquet/flat.jsonl \
  regression/fixtures/parquet/flat.parquet \
  regression/fixtures/parquet/flat_v2.parquet \
  regression/fixtures/parquet/int96.parquet \
  regression/fixtures/parquet/keys.parquet \
  regression/fixtures/parquet/legacy.jsonl \
  regression/fixtures/parquet/legacy.parquet \
  regression/fixtures/parquet/lz4.parquet \
  regression/fixtures/parquet/nested.jsonl \
  regression/fixtures/parquet/nested.parquet \
  regression/fixtures/parquet/nested_v2.parquet \
  regression/fixtures/parquet/packed_gzip.parquet \
  regression/fixtures/parquet/packed_snappy.jsonl \
  regression/fixtures/parquet/packed_snappy.parquet \
  regression/fixtures/parquet/packed_zstd.parquet \
  regression/fixtures/parquet/values.parquet

# --- sources of rows, blends --------------------------------------------------
src_libhymn_a_SOURCES += \
  src/data/blend.c src/data/blend.h \
  src/data/blend_file.c src/data/blend_file.h \
  src/data/feed.c src/data/feed.h \
  src/data/pick.c src/data/pick.h \
  src/data/rows.c src/data/rows.h \
  src/data/shares.c src/data/shares.h \
  src/data/rows_mock.c src/data/rows_packed.c
hymn_unit_tests += src/data/test_shares
src_data_test_shares_SOURCES = src/data/test_shares.c
src_data_test_shares_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_blend_file_mpi
src_data_test_blend_file_mpi_SOURCES = src/data/test_blend_file_mpi.c
src_data_test_blend_file_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_blend_mpi
src_data_test_blend_mpi_SOURCES = src/data/test_blend_mpi.c src/data/test_pack.h
src_data_test_blend_mpi_LDADD = $(HYMN_TEST_LIBS)
