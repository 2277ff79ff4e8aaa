// Products of matrices in oneDNN with weights in its own layout, for comparison with `gamut bench gemm`; no part of the build.
//
//   g++ -O2 -std=c++20 onednn_matmul.cpp -ldnnl -o onednn_matmul      (Debian: libdnnl-dev)
//   OMP_NUM_THREADS=2 ./onednn_matmul bf16 MxNxK …                    prints one JSON object: {"MxNxK": GFLOP/s, …}
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

using namespace dnnl;

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: onednn_matmul bf16|f32 MxNxK …\n"), 2;
  const auto type = std::strcmp(argv[1], "bf16") == 0 ? memory::data_type::bf16 : memory::data_type::f32;
  const engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  std::printf("{");
  for (int i = 2; i < argc; ++i) {
    long m, n, k;
    if (std::sscanf(argv[i], "%ldx%ldx%ld", &m, &n, &k) != 3) return std::fprintf(stderr, "onednn_matmul: '%s' is not MxNxK\n", argv[i]), 2;
    // An inner product: its weights may take the layout that the implementation likes best.
    const memory::desc x({m, k}, type, memory::format_tag::ab), y({m, n}, type, memory::format_tag::ab), w({n, k}, type, memory::format_tag::any);
    const inner_product_forward::primitive_desc plan({prop_kind::forward_inference, x, w, y}, cpu);
    memory plain({{n, k}, type, memory::format_tag::ab}, cpu), packed(plan.weights_desc(), cpu), in(x, cpu), out(y, cpu);
    std::vector<uint16_t> half(static_cast<size_t>(std::max(n, m) * k), 0x3c23);  // 0.01
    std::vector<float> whole(static_cast<size_t>(std::max(n, m) * k), 0.01f);
    for (memory* to : {&plain, &in}) std::memcpy(to->get_data_handle(), type == memory::data_type::bf16 ? static_cast<void*>(half.data()) : whole.data(), to->get_desc().get_size());
    reorder(plain, packed).execute(queue, plain, packed);
    const inner_product_forward product(plan);
    const std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, out}};
    const auto run = [&] {
      const auto start = std::chrono::steady_clock::now();
      product.execute(queue, arguments);
      queue.wait();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    run();
    std::vector<double> took;
    for (double total = 0; took.size() < 5 || total < 0.3; total += took.back()) took.push_back(run());
    std::nth_element(took.begin(), took.begin() + static_cast<long>(took.size() / 2), took.end());
    std::printf("%s\"%s\": %.2f", i > 2 ? ", " : "", argv[i], 2e-9 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / took[took.size() / 2]);
  }
  std::printf("}\n");
}
