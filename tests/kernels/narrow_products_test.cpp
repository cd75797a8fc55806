// What a GPU computes in its default setting, where activations are rounded to bfloat16 when they
// meet weights: the tensor core kernels, over numbers that bfloat16 holds exactly.
#ifdef GEMMA4_HAS_CUDA
#include "lib/quant/quantized_matrix.h"
#include "tests/kernels/op_fixture.h"
#ifdef GEMMA4_CUDA_EMULATED
#include "tests/cuda_emulator/cuda_runtime_api.h"
#endif

namespace gemma4 {
namespace {

void on_the_gpu(const std::function<void(Ops&)>& test) {
  if (cuda_devices().empty()) {
    MESSAGE("skipped: no CUDA device");
    return;
  }
  const std::unique_ptr<Ops> ops = make_cuda_ops({});
  test(*ops);
}

std::vector<float> bf16_normals(Random& random, int64_t count, float scale = 1.0f) {
  std::vector<float> values = random.normals(count, scale);
  for (float& value : values) value = round_to_bf16(value);
  return values;
}

struct Coded {
  int bits;
  int64_t group;  // 0: one scale a row
};

/// Random codes; scales of powers of two, so that scaled codes are bfloat16 numbers.
Weight coded_weight(Random& random, int64_t rows, int64_t cols, const Coded& how,
                    std::vector<std::vector<uint8_t>>& memory) {
  auto q = std::make_shared<QuantizedMatrix>();
  q->rows = rows;
  q->cols = cols;
  q->bits = how.bits;
  q->row_bytes = static_cast<size_t>((cols * how.bits + 31) / 32 * 4);
  q->group_size = how.group == 0 ? cols : how.group;
  q->scale_dtype = Dtype::kBf16;
  memory.emplace_back(static_cast<size_t>(rows) * q->row_bytes);
  for (uint8_t& byte : memory.back()) byte = static_cast<uint8_t>(random.below(256));
  q->codes = memory.back().data();
  const int64_t count = rows * q->groups();
  memory.emplace_back(static_cast<size_t>(count) * 2);
  for (int64_t i = 0; i < count; ++i) {
    const Bf16 scale = to_bf16(std::ldexp(random.below(2) == 0 ? 1.0f : -1.0f, -random.below(4)));
    std::memcpy(memory.back().data() + i * 2, &scale, 2);
  }
  q->scales = memory.back().data();
  Weight weight;
  weight.name = "test";
  weight.rows = rows;
  weight.cols = cols;
  weight.quantized = q;
  return weight;
}

const Coded kForms[] = {{16, 0}, {8, 0}, {4, 0}, {4, 32}, {4, 64}, {2, 0}};

class FormWeight {
 public:
  FormWeight(Random& random, int64_t rows, int64_t cols, const Coded& how) {
    if (how.bits == 16) {
      dense_ = std::make_unique<TestWeight>(random, rows, cols, Dtype::kBf16);
      weight = dense_->weight;
    } else {
      weight = coded_weight(random, rows, cols, how, memory_);
    }
  }
  Weight weight;

 private:
  std::unique_ptr<TestWeight> dense_;
  std::vector<std::vector<uint8_t>> memory_;
};

std::vector<float> products(Ops& ops, std::vector<Weight> weights, const std::vector<float>& x,
                            int64_t rows) {
  std::vector<std::unique_ptr<DeviceMatrix>> outs;
  std::vector<LinearTarget> targets;
  for (Weight& weight : weights) {
    ops.prepare(weight);
    outs.push_back(std::make_unique<DeviceMatrix>(ops, rows, weight.rows));
    targets.push_back({&weight, outs.back()->view});
  }
  const DeviceMatrix in(ops, rows, weights[0].cols, x);
  ops.linear(in.view, targets);
  std::vector<float> all;
  for (const auto& out : outs) {
    const std::vector<float> part = out->host();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST_CASE("products on tensor cores match the reference for every form and number of rows") {
  on_the_gpu([](Ops& ops) {
    for (const Coded& how : kForms) {
      for (const int64_t m : {1, 2, 7, 8, 9, 16, 17, 40, 64, 65, 129}) {
        for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
                 {5, 64}, {24, 32}, {33, 192}, {70, 256}, {130, 704}, {9, 2112}}) {
          if (k % std::max<int64_t>(how.group, 1) != 0) continue;
          CAPTURE(how.bits);
          CAPTURE(how.group);
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(k);
          Random random(static_cast<unsigned>(m * 100 + n));
          const FormWeight weight(random, n, k, how);
          const std::vector<float> x = bf16_normals(random, m * k);
          check_against_reference(
              ops, [&](Ops& o) { return products(o, {weight.weight}, x, m); }, 1e-5);
        }
      }
    }
  });
}

TEST_CASE("dense products of odd sizes on tensor cores match the reference") {
  on_the_gpu([](Ops& ops) {
    for (const int64_t m : {1, 3, 15, 33, 130}) {
      for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
               {1, 1}, {3, 5}, {33, 31}, {100, 257}, {65, 530}}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        Random random(static_cast<unsigned>(m * 10 + n));
        const FormWeight weight(random, n, k, {16, 0});
        const std::vector<float> x = bf16_normals(random, m * k);
        check_against_reference(
            ops, [&](Ops& o) { return products(o, {weight.weight}, x, m); }, 1e-5);
      }
    }
  });
}

TEST_CASE("weights of several forms that share an input each get their own output") {
  on_the_gpu([](Ops& ops) {
    for (const int64_t m : {1, 12, 30}) {
      Random random(51);
      const FormWeight a(random, 40, 128, {16, 0});
      const FormWeight b(random, 24, 128, {16, 0});
      const FormWeight c(random, 17, 128, {4, 32});
      const FormWeight d(random, 9, 128, {4, 32});
      const std::vector<float> x = bf16_normals(random, m * 128);
      check_against_reference(
          ops,
          [&](Ops& o) {
            return products(o, {a.weight, b.weight, c.weight, d.weight}, x, m);
          },
          1e-5);
    }
  });
}

TEST_CASE("a row's product on tensor cores does not depend on the rows beside it, up to eight") {
  on_the_gpu([](Ops& ops) {
    for (const Coded& how : kForms) {
      Random random(52);
      const FormWeight weight(random, 70, 384, how);
      const std::vector<float> x = random.normals(8 * 384);
      const std::vector<float> first =
          products(ops, {weight.weight}, {x.begin(), x.begin() + 384}, 1);
      for (int64_t m = 2; m <= 8; ++m) {
        const std::vector<float> all =
            products(ops, {weight.weight}, {x.begin(), x.begin() + 384 * m}, m);
        CHECK(std::vector<float>(all.begin(), all.begin() + 70) == first);
      }
    }
  });
}

TEST_CASE("experts on tensor cores match the reference, few rows and grouped ones") {
  on_the_gpu([](Ops& ops) {
    for (const Coded& how : {Coded{16, 0}, Coded{4, 32}, Coded{8, 0}}) {
      for (const int64_t m : {1, 8, 9, 70, 400}) {
        CAPTURE(how.bits);
        CAPTURE(m);
        Random random(53);
        const int64_t hidden = 96;
        const int64_t width = 64;
        std::vector<std::unique_ptr<FormWeight>> weights;
        std::vector<MlpWeights> experts;
        for (int e = 0; e < 6; ++e) {
          for (int i = 0; i < 3; ++i) {
            weights.push_back(std::make_unique<FormWeight>(random, i == 2 ? hidden : width,
                                                           i == 2 ? width : hidden, how));
          }
          experts.push_back({weights[weights.size() - 3]->weight,
                             weights[weights.size() - 2]->weight, weights.back()->weight});
        }
        const FormWeight projection(random, 6, hidden, {16, 0});
        const std::vector<float> scale(96, 1.0f);
        const std::vector<float> expert_scale = random.normals(6);
        const std::vector<float> x = bf16_normals(random, m * hidden, 0.1f);
        const auto compute = [&](Ops& o) {
          std::vector<MlpWeights> own = experts;
          for (MlpWeights& expert : own) {
            o.prepare(expert.gate);
            o.prepare(expert.up);
            o.prepare(expert.down);
          }
          const DeviceMatrix in(o, m, hidden, x);
          const DeviceMatrix out(o, m, hidden);
          const DeviceRouting routing(o, m, 2);
          o.route_experts(in.view,
                          {projection.weight, upload(o, scale), upload(o, expert_scale), 2}, 1e-6f,
                          routing.view);
          o.expert_mlp(in.view, own, routing.view, out.view);
          return out.host();
        };
        check_against_reference(ops, compute, 3e-2);  // gated values are rounded to bfloat16
      }
    }
  });
}

struct Scene {
  int32_t kv_heads;
  int32_t group;
  int32_t head_dim;
  Dtype dtype;
  std::vector<int32_t> lengths;
  std::vector<int32_t> queries;
  int32_t window;
};

std::vector<float> attend(Ops& ops, const Scene& scene) {
  const int32_t block_size = 64;
  const int32_t cols = scene.kv_heads * scene.head_dim;
  Random random(54);
  KvPages pages;
  pages.block_size = block_size;
  int32_t blocks = 0;
  for (const int32_t length : scene.lengths) {
    std::vector<int32_t> table;
    for (int32_t b = 0; b * block_size < length; ++b) table.push_back(blocks++);
    std::reverse(table.begin(), table.end());
    pages.blocks.push_back(table);
  }
  const auto keys = ops.allocate(static_cast<size_t>(blocks * block_size * cols) * 4);
  const auto values = ops.allocate(static_cast<size_t>(blocks * block_size * cols) * 4);
  const auto scales =
      ops.allocate(static_cast<size_t>(2 * blocks * block_size * scene.kv_heads) * 4);
  KvLayer layer{LayerKind::kFull, scene.dtype,  scene.kv_heads, scene.head_dim,
                block_size,       keys->data(), values->data()};
  layer.key_scales = static_cast<float*>(scales->data());
  layer.value_scales = layer.key_scales + blocks * block_size * scene.kv_heads;
  layer.key_scale = layer.value_scale = 0.02f;
  Step stored;
  Step asked;
  for (size_t s = 0; s < scene.lengths.size(); ++s) {
    for (int32_t t = 0; t < scene.lengths[s]; ++t) {
      const int32_t begin = scene.window > 0 ? std::max(0, t - scene.window + 1) : 0;
      for (Step* step : {&stored, &asked}) {
        if (step == &asked && t < scene.lengths[s] - scene.queries[s]) continue;
        step->tokens.push_back(0);
        step->positions.push_back(t);
        step->sequences.push_back(static_cast<int32_t>(s));
        step->visible[0].push_back({begin, t + 1});
        step->visible[1].push_back({begin, t + 1});
      }
    }
  }
  stored.pages = asked.pages = {&pages, &pages};
  ops.begin_step(stored);
  const int64_t rows = stored.rows();
  const DeviceMatrix k(ops, rows, cols, bf16_normals(random, rows * cols));
  const DeviceMatrix v(ops, rows, cols, bf16_normals(random, rows * cols));
  ops.append_kv(stored, k.view, v.view, layer);
  ops.end_step(stored);
  const int64_t q_cols = int64_t{cols} * scene.group;
  const DeviceMatrix q(ops, asked.rows(), q_cols,
                       bf16_normals(random, asked.rows() * q_cols, 0.1f));
  const DeviceMatrix out(ops, asked.rows(), q_cols);
  ops.begin_step(asked);
  ops.attention(asked, q.view, layer, out.view);
  ops.end_step(asked);
  return out.host();
}

TEST_CASE("attention on tensor cores matches the reference: prompts, tokens, windows, batches") {
  on_the_gpu([](Ops& ops) {
    for (const int32_t head_dim : {256, 512}) {
      for (const Dtype dtype : {Dtype::kBf16, Dtype::kI8, Dtype::kF8E4M3}) {
        for (const Scene& scene :
             std::vector<Scene>{{1, 8, head_dim, dtype, {1}, {1}, 0},
                                {1, 8, head_dim, dtype, {77}, {1}, 0},
                                {2, 2, head_dim, dtype, {300}, {1}, 0},
                                {1, 16, head_dim, dtype, {130}, {1}, 100},
                                {1, 4, head_dim, dtype, {90}, {90}, 0},
                                {2, 2, head_dim, dtype, {150}, {40}, 64},
                                {1, 2, head_dim, dtype, {33, 150, 64}, {1, 7, 3}, 0},
                                {1, 8, head_dim, dtype, {33, 150, 64}, {1, 1, 1}, 50}}) {
          CAPTURE(head_dim);
          CAPTURE(static_cast<int>(dtype));
          CAPTURE(scene.lengths[0]);
          CAPTURE(scene.queries[0]);
          check_against_reference(
              ops, [&](Ops& o) { return attend(o, scene); }, dtype == Dtype::kBf16 ? 2e-2 : 6e-2);
        }
      }
    }
  });
}

TEST_CASE("a step that is repeated becomes a graph, which computes the same with other contents") {
  on_the_gpu([](Ops& ops) {
    Random random(55);
    const FormWeight table(random, 50, 64, {16, 0});
    Weight prepared = table.weight;
    ops.prepare(prepared);
    const DeviceMatrix out(ops, 3, 64);
    const std::unique_ptr<Ops> reference = make_reference_ops();
    const DeviceMatrix expected(*reference, 3, 64);
    for (int32_t turn = 0; turn < 5; ++turn) {
      for (Ops* o : {&ops, reference.get()}) {
        Step step;
        step.tokens = {turn, turn + 7, 3 * turn};
        step.positions = {turn, turn, turn};
        step.sequences = {0, 1, 2};
        o->begin_step(step);
        const Matrix to = o == &ops ? out.view : expected.view;
        o->embed(step, o == &ops ? prepared : table.weight, 2.0f, to);
        o->rms_norm(to, {}, 1e-6f, to);
        o->end_step(step);
      }
      CHECK(relative_error(out.host(), expected.host()) < 1e-5);
    }
#ifdef GEMMA4_CUDA_EMULATED
    CHECK(cuda_emulator::graph_launches() >= 3);
#endif
  });
}

TEST_CASE("a step that failed half way leaves nothing behind") {
  on_the_gpu([](Ops& ops) {
    const DeviceMatrix x(ops, 1, 4, {1, 2, 3, 4});
    {
      Step failed;
      failed.tokens = failed.positions = failed.sequences = {0};
      ops.begin_step(failed);
      ops.rms_norm(x.view, {}, 0.0f, x.view);
    }
    Step step;
    step.tokens = step.positions = step.sequences = {0};
    ops.begin_step(step);
    ops.end_step(step);
    CHECK(x.host() == std::vector<float>{1, 2, 3, 4});
  });
}

}  // namespace
}  // namespace gemma4
#endif
