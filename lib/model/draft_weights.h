// An assistant's weights, by the checkpoint's own names (spec mtp-diffusion.md, A2.1).
#pragma once

#include <memory>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/draft_config.h"
#include "lib/model/tensor_source.h"
#include "lib/model/text_weights.h"

namespace gemma4 {

struct DraftWeights {
  Weight pre_projection;   // [hidden, 2 * backbone_hidden]: token embedding first, then state
  Weight post_projection;  // [backbone_hidden, hidden]
  Vector norm;
  std::vector<LayerWeights> layers;  // no k_proj, v_proj, k_norm

  Weight embed_tokens;  // [vocab, hidden]: the dense head; empty with centroids

  // The centroid head (A8.2).
  Weight centroids;                     // [num_centroids, hidden]
  std::vector<Weight> clusters;         // [num_centroids] of [vocab / num_centroids, hidden]
  std::vector<int32_t> token_ordering;  // [vocab]: ids, cluster after cluster
};

/// Takes all tensors, prepares them on `ops`, and marks as known what released files carry unused
/// (ruling 12). Throws Error(kModel) when token_ordering is no permutation of the vocabulary.
DraftWeights load_draft_weights(TensorSource& source, const DraftConfig& config, Ops& ops);

}  // namespace gemma4
