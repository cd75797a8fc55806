#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

struct Shape {
  int32_t kv_heads;
  int32_t group;
  int32_t head_dim;
  int32_t block_size;
};

/// Sequences of `lengths` positions whose keys are all stored, and whose last `queries` rows ask.
/// `window` 0: all earlier keys; else the last `window`. A ring keeps only what the window needs.
struct Scene {
  Shape shape;
  std::vector<int32_t> lengths;
  std::vector<int32_t> queries;
  int32_t window = 0;
  Dtype dtype = Dtype::kF32;
};

void add_row(Step& step, int32_t sequence, int32_t position, int32_t window) {
  step.tokens.push_back(0);
  step.positions.push_back(position);
  step.sequences.push_back(sequence);
  const int32_t begin = window > 0 ? std::max(0, position - window + 1) : 0;
  step.visible[0].push_back({begin, position + 1});
  step.visible[1].push_back({begin, position + 1});
}

std::vector<float> run(Ops& ops, const Scene& scene, float score_scale = 0.2f) {
  const Shape& shape = scene.shape;
  const int32_t kv_cols = shape.kv_heads * shape.head_dim;
  Random random(21);
  KvPages pages;
  pages.block_size = shape.block_size;
  int32_t num_blocks = 1;  // block 0 stays unused
  for (size_t s = 0; s < scene.lengths.size(); ++s) {
    std::vector<int32_t> table;
    int32_t kept = scene.lengths[s];
    if (scene.window > 0) kept = std::min(kept, scene.window + scene.queries[s]);
    const int32_t count = (kept + shape.block_size - 1) / shape.block_size + (scene.window > 0);
    for (int32_t b = 0; b < count; ++b) table.push_back(num_blocks++);
    std::reverse(table.begin(), table.end());
    pages.blocks.push_back(table);
  }
  const size_t array_bytes =
      static_cast<size_t>(num_blocks) * static_cast<size_t>(kv_cols * shape.block_size) * 4;
  const auto keys = ops.allocate(array_bytes);
  const auto values = ops.allocate(array_bytes);
  KvLayer layer{LayerKind::kFull, scene.dtype,  shape.kv_heads, shape.head_dim,
                shape.block_size, keys->data(), values->data()};
  const size_t scale_bytes =
      static_cast<size_t>(num_blocks) * static_cast<size_t>(shape.kv_heads * shape.block_size) * 4;
  const auto key_scales = ops.allocate(scale_bytes);
  const auto value_scales = ops.allocate(scale_bytes);
  if (scene.dtype == Dtype::kI8) {
    layer.key_scales = static_cast<float*>(key_scales->data());
    layer.value_scales = static_cast<float*>(value_scales->data());
  }
  if (scene.dtype == Dtype::kF8E4M3) {
    layer.key_scale = 0.03f;
    layer.value_scale = 0.004f;  // some values are beyond 448 times that
  }
  Step asked;
  for (size_t s = 0; s < scene.lengths.size(); ++s) {
    // A ring has room for its window and one chunk.
    const int32_t chunk = scene.window > 0 ? scene.queries[s] : scene.lengths[s];
    for (int32_t first = 0; first < scene.lengths[s]; first += chunk) {
      Step stored;
      stored.pages = {&pages, &pages};
      for (int32_t t = first; t < std::min(first + chunk, scene.lengths[s]); ++t) {
        add_row(stored, static_cast<int32_t>(s), t, scene.window);
        if (t >= scene.lengths[s] - scene.queries[s]) {
          add_row(asked, static_cast<int32_t>(s), t, scene.window);
        }
      }
      const int64_t rows = stored.rows();
      ops.begin_step(stored);
      const DeviceMatrix k(ops, rows, kv_cols, random.normals(rows * kv_cols));
      const DeviceMatrix v(ops, rows, kv_cols, random.normals(rows * kv_cols));
      ops.append_kv(stored, k.view, v.view, layer);
      ops.end_step(stored);
    }
  }
  asked.pages = {&pages, &pages};
  const int64_t q_cols = kv_cols * shape.group;
  const int64_t rows = asked.rows();
  ops.begin_step(asked);
  std::vector<float> queries;  // those of a position do not depend on what else is asked
  for (int64_t r = 0; r < rows; ++r) {
    Random of_position(static_cast<unsigned>(asked.positions[static_cast<size_t>(r)]));
    const std::vector<float> row = of_position.normals(q_cols, score_scale);
    queries.insert(queries.end(), row.begin(), row.end());
  }
  const DeviceMatrix q(ops, rows, q_cols, queries);
  const DeviceMatrix out(ops, rows, q_cols);
  ops.attention(asked, q.view, layer, out.view);
  ops.end_step(asked);
  return out.host();
}

TEST_CASE("attention matches the reference: prompts, single tokens, head counts, page sizes") {
  on_each_backend([](Ops& ops) {
    for (const Shape& shape : std::vector<Shape>{{1, 1, 16, 16},
                                                 {1, 8, 32, 16},
                                                 {2, 3, 24, 8},
                                                 {2, 2, 40, 64},
                                                 {1, 16, 48, 32},
                                                 {1, 8, 256, 64},
                                                 {1, 20, 7, 5}}) {
      for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kI8, Dtype::kF8E4M3}) {
        for (const int32_t length : {1, 2, 17, 64, 130}) {
          for (const int32_t queries : {1, 3, 8, 9, 130}) {
            if (queries > length) continue;
            CAPTURE(static_cast<int>(dtype));
            CAPTURE(shape.kv_heads);
            CAPTURE(shape.group);
            CAPTURE(shape.head_dim);
            CAPTURE(length);
            CAPTURE(queries);
            const Scene scene{shape, {length}, {queries}, 0, dtype};
            check_against_reference(
                ops, [&](Ops& o) { return run(o, scene); }, 5e-5);
          }
        }
      }
    }
  });
}

TEST_CASE("attention of a sliding layer reads its window through a ring of pages") {
  on_each_backend([](Ops& ops) {
    for (const int32_t window : {1, 12, 64, 100}) {
      for (const int32_t queries : {1, 5, 40}) {
        for (const Dtype dtype : {Dtype::kBf16, Dtype::kI8, Dtype::kF8E4M3}) {
          CAPTURE(window);
          CAPTURE(queries);
          CAPTURE(static_cast<int>(dtype));
          const Scene scene{{2, 2, 32, 16}, {300}, {queries}, window, dtype};
          check_against_reference(
              ops, [&](Ops& o) { return run(o, scene); }, 5e-5);
        }
      }
    }
  });
}

TEST_CASE("quantised keys and values are close to exact ones, and fp8 stores NaN as NaN") {
  on_each_backend([](Ops& ops) {
    for (const int32_t queries : {3, 40}) {
      const Scene exact{{2, 3, 64, 16}, {150}, {queries}, 0, Dtype::kF32};
      const std::vector<float> expected = run(ops, exact);
      Scene quantized = exact;
      quantized.dtype = Dtype::kI8;
      CHECK(relative_error(run(ops, quantized), expected) < 0.1);
    }
    for (const int32_t rows : {1, 20}) {
      const KvPages pages{32, {{0}}};
      const auto keys = ops.allocate(32 * 16);
      const auto values = ops.allocate(32 * 16);
      const KvLayer layer{LayerKind::kFull, Dtype::kF8E4M3, 1, 16, 32,
                          keys->data(),     values->data()};
      Step step;
      for (int32_t r = 0; r < rows; ++r) add_row(step, 0, r, 0);
      step.pages = {&pages, &pages};
      ops.begin_step(step);
      std::vector<float> some(static_cast<size_t>(rows) * 16, 1.0f);
      const DeviceMatrix q(ops, rows, 16, some);
      some[3] = std::nanf("");
      some[4] = -std::nanf("");
      const DeviceMatrix v(ops, rows, 16, some);
      const DeviceMatrix out(ops, rows, 16);
      ops.append_kv(step, q.view, v.view, layer);
      ops.attention(step, q.view, layer, out.view);
      ops.end_step(step);
      const std::vector<float> got = out.host();
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(std::isnan(got[i]) == (i % 16 == 3 || i % 16 == 4));
      }
    }
  });
}

TEST_CASE("keys and values are quantised to the reference's codes and scales, bit for bit") {
  on_each_backend([](Ops& ops) {
    for (const int32_t d : {1, 7, 8, 15, 16, 17, 31, 40, 256}) {
      for (const Dtype dtype : {Dtype::kI8, Dtype::kF8E4M3}) {
        CAPTURE(d);
        CAPTURE(static_cast<int>(dtype));
        constexpr int64_t kRows = 9;
        std::vector<float> some = Random(23).normals(kRows * d, 3.0f);
        // A row each of ties, of values beyond the largest code, of subnormals, of zeros.
        for (int32_t i = 0; i < d; ++i) {
          const auto at = static_cast<size_t>(i);
          some[at] = i == 0 ? 127.0f : static_cast<float>(i % 9 - 4) + 0.5f;
          some[at + static_cast<size_t>(d)] = static_cast<float>(i - d / 2) * 100.0f;
          some[at + static_cast<size_t>(2 * d)] = static_cast<float>(i - d / 2) * 0x1p-11f;
          some[at + static_cast<size_t>(3 * d)] = i % 2 == 0 ? 0.0f : -0.0f;
        }
        const auto stored = [&](Ops& o) {
          const KvPages pages{16, {{0}}};
          const size_t bytes = 16 * static_cast<size_t>(d);
          const auto codes = o.allocate(2 * bytes);
          const auto scales = o.allocate(2 * 16 * sizeof(float));
          auto* first = static_cast<std::byte*>(codes->data());
          KvLayer layer{LayerKind::kFull, dtype, 1, d, 16, first, first + bytes};
          if (dtype == Dtype::kI8) {
            layer.key_scales = static_cast<float*>(scales->data());
            layer.value_scales = layer.key_scales + 16;
          } else {
            layer.value_scale = 0.7f;
          }
          Step step;
          for (int32_t r = 0; r < kRows; ++r) add_row(step, 0, r, 0);
          step.pages = {&pages, &pages};
          o.begin_step(step);
          const DeviceMatrix x(o, kRows, d, some);
          o.append_kv(step, x.view, x.view, layer);
          o.end_step(step);
          const size_t used = static_cast<size_t>(kRows * d);
          std::vector<std::byte> all(2 * used + 2 * kRows * sizeof(float));
          o.copy_to_host(all.data(), first, used);
          o.copy_to_host(all.data() + used, first + bytes, used);
          if (dtype == Dtype::kI8) {
            const size_t of_scales = kRows * sizeof(float);
            o.copy_to_host(all.data() + 2 * used, layer.key_scales, of_scales);
            o.copy_to_host(all.data() + 2 * used + of_scales, layer.value_scales, of_scales);
          }
          return all;
        };
        const auto reference = make_reference_ops();
        CHECK(stored(ops) == stored(*reference));
      }
    }
  });
}

TEST_CASE("attention of a ragged batch keeps sequences apart") {
  on_each_backend([](Ops& ops) {
    const Scene scene{{2, 4, 32, 16}, {5, 700, 33, 64, 1200}, {1, 1, 20, 4, 1}, 0, Dtype::kBf16};
    check_against_reference(
        ops, [&](Ops& o) { return run(o, scene); }, 5e-5);
  });
}

TEST_CASE("attention over long ranges is cut into parts and merged") {
  on_each_backend([](Ops& ops) {
    for (const int32_t length : {513, 2048, 9000}) {
      const Scene scene{{1, 4, 32, 64}, {length}, {2}, 0, Dtype::kBf16};
      check_against_reference(
          ops, [&](Ops& o) { return run(o, scene); }, 5e-5);
    }
  });
}

TEST_CASE("attention with scores of hundreds does not overflow") {
  on_each_backend([](Ops& ops) {
    for (const int32_t queries : {1, 30}) {
      const Scene scene{{1, 2, 64, 16}, {200}, {queries}, 0, Dtype::kF32};
      check_against_reference(
          ops, [&](Ops& o) { return run(o, scene, 60.0f); }, 1e-3);
    }
  });
}

TEST_CASE("a query's attention does not depend on the rows beside it, up to eight") {
  on_each_backend([](Ops& ops) {
    // The same keys; the last row is asked alone, and with those before it.
    Scene scene{{1, 2, 64, 64}, {777}, {8}, 0, Dtype::kBf16};
    const std::vector<float> eight = run(ops, scene);
    scene.queries = {1};
    const std::vector<float> one = run(ops, scene);
    CHECK(std::vector<float>(eight.end() - 128, eight.end()) == one);
  });
}

TEST_CASE("ranges beyond the diagonal and rows that see nothing are handled") {
  on_each_backend([](Ops& ops) {
    for (const int32_t rows : {3, 12}) {
      KvPages pages;
      pages.block_size = 16;
      pages.blocks = {{0, 1}};
      const auto keys = ops.allocate(2 * 16 * 16 * 4);
      const auto values = ops.allocate(2 * 16 * 16 * 4);
      const KvLayer layer{LayerKind::kSliding, Dtype::kF32,   1, 16, 16,
                          keys->data(),        values->data()};
      Step step;
      for (int32_t r = 0; r < rows; ++r) {
        step.tokens.push_back(0);
        step.positions.push_back(r);
        step.sequences.push_back(0);
        step.visible[0].push_back(r == 1 ? KeyRange{4, 4} : KeyRange{0, rows});
        step.visible[1].push_back({0, 1});
      }
      step.pages = {&pages, &pages};
      ops.begin_step(step);
      Random random(22);
      const DeviceMatrix k(ops, rows, 16, random.normals(rows * 16));
      const DeviceMatrix v(ops, rows, 16, random.normals(rows * 16));
      const DeviceMatrix q(ops, rows, 16, std::vector<float>(static_cast<size_t>(rows * 16), 0.0f));
      const DeviceMatrix out(ops, rows, 16);
      ops.append_kv(step, k.view, v.view, layer);
      ops.attention(step, q.view, layer, out.view);
      ops.end_step(step);
      const std::vector<float> stored = v.host();
      const std::vector<float> got = out.host();
      for (size_t j = 0; j < 16; ++j) {
        float mean = 0.0f;
        for (size_t r = 0; r < static_cast<size_t>(rows); ++r) mean += stored[r * 16 + j];
        mean /= static_cast<float>(rows);
        CHECK(got[j] == doctest::Approx(mean).epsilon(1e-5));
        CHECK(got[16 + j] == 0.0f);
      }
    }
  });
}

}  // namespace
}  // namespace gemma4
