"""Gemma 4 (the E family) in plain PyTorch: text decoder, vision tower, audio conformer.

Readable before fast, and small enough to read in one sitting. Weights are kept under their names in
a checkpoint, so that loading and saving one is a copy. Everything is computed in float32.

Shapes: B batch, T text positions, H text hidden size, N patches or audio frames of one item,
D hidden size of a tower. Linear weights are [out, in].
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-6
TEXT = "model.language_model."
VISION = "model.vision_tower."
AUDIO = "model.audio_tower."
INFINITY = float("inf")


class RmsNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps), the mean over the last axis; the weight is applied outside."""

    @staticmethod
    def forward(ctx, x):
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx, grad):
        y, inverse = ctx.saved_tensors
        return (grad - y * (grad * y).mean(-1, keepdim=True)) * inverse


def rms(x, weight=None):
    y = RmsNorm.apply(x)
    return y if weight is None else y * weight


def gelu(x):
    return F.gelu(x, approximate="tanh")


def rotate(x, cos, sin):
    """Rotary embedding of the last axis: dimension j pairs with j + d/2."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def feed_forward(weight, name, x):
    """x after the gated MLP of the layer `name`; `weight` gives a weight by its name."""
    b = rms(x, weight(name + "pre_feedforward_layernorm.weight"))
    m = gelu(F.linear(b, weight(name + "mlp.gate_proj.weight")))
    m = m * F.linear(b, weight(name + "mlp.up_proj.weight"))
    m = F.linear(m, weight(name + "mlp.down_proj.weight"))
    return x + rms(m, weight(name + "post_feedforward_layernorm.weight"))


class Gemma4(nn.Module):
    """`config` is config.json. Towers that it does not name are absent."""

    def __init__(self, config, seed=0):
        super().__init__()
        self.config = config
        self.text = config["text_config"]
        self.vision = config.get("vision_config")
        self.audio = config.get("audio_config")
        self.names = {}      # checkpoint name -> attribute name
        self.bounds = {}     # clipped linear -> (input_min, input_max, output_min, output_max)
        self.observed = None  # while calibrating: clipped linear -> the four extremes seen
        self.generator = torch.Generator().manual_seed(seed)
        self._layout()
        self._make_text()
        if self.vision:
            self._make_vision()
        if self.audio:
            self._make_audio()

    # ---- Weights ----

    def _add(self, name, *shape, std=None, value=None):
        """A new weight: normal with deviation `std` (default: 1/sqrt(inputs)), or constant."""
        if value is not None:
            tensor = torch.full(shape, float(value))
        else:
            std = 1 / math.sqrt(shape[-1]) if std is None else std
            tensor = torch.randn(shape, generator=self.generator) * std
        attribute = name.replace(".", "/")
        self.register_parameter(attribute, nn.Parameter(tensor))
        self.names[name] = attribute

    def weight(self, name):
        return self._parameters[self.names[name]]

    def _layout(self):
        """Kind, head size, width and key/value layer of each text layer."""
        text = self.text
        count = text["num_hidden_layers"]
        self.first_shared = count - text["num_kv_shared_layers"]
        self.layers = []
        for index, kind in enumerate(text["layer_types"]):
            full = kind == "full_attention"
            shared = index >= self.first_shared
            wide = text["use_double_wide_mlp"] and shared
            self.layers.append({
                "kind": kind,
                "head_dim": text["global_head_dim"] if full else text["head_dim"],
                "width": text["intermediate_size"] * (2 if wide else 1),
                "kv": index if not shared else max(
                    i for i in range(self.first_shared) if text["layer_types"][i] == kind),
            })

    def _make_text(self):
        text = self.text
        hidden, per_layer = text["hidden_size"], text["hidden_size_per_layer_input"]
        heads, kv_heads = text["num_attention_heads"], text["num_key_value_heads"]
        count = text["num_hidden_layers"]
        self._add(TEXT + "embed_tokens.weight", text["vocab_size"], hidden)
        self._add(TEXT + "embed_tokens_per_layer.weight", text["vocab_size"], count * per_layer)
        self._add(TEXT + "per_layer_model_projection.weight", count * per_layer, hidden, std=1)
        self._add(TEXT + "per_layer_projection_norm.weight", per_layer, value=1)
        self._add(TEXT + "norm.weight", hidden, value=1)
        for index, layer in enumerate(self.layers):
            name = f"{TEXT}layers.{index}."
            dim, width = layer["head_dim"], layer["width"]
            for norm in ("input_layernorm", "pre_feedforward_layernorm"):
                self._add(name + norm + ".weight", hidden, value=1)
            for norm in ("post_attention_layernorm", "post_feedforward_layernorm",
                         "post_per_layer_input_norm"):
                self._add(name + norm + ".weight", hidden, value=0.4)
            # With these the scores start with deviation 1, as 1/sqrt(d) would make them.
            self._add(name + "self_attn.q_norm.weight", dim, value=dim ** -0.25)
            self._add(name + "self_attn.q_proj.weight", heads * dim, hidden)
            self._add(name + "self_attn.o_proj.weight", hidden, heads * dim)
            if layer["kv"] == index:
                self._add(name + "self_attn.k_norm.weight", dim, value=dim ** -0.25)
                self._add(name + "self_attn.k_proj.weight", kv_heads * dim, hidden)
                self._add(name + "self_attn.v_proj.weight", kv_heads * dim, hidden)
            self._add(name + "mlp.gate_proj.weight", width, hidden)
            self._add(name + "mlp.up_proj.weight", width, hidden)
            self._add(name + "mlp.down_proj.weight", hidden, width)
            self._add(name + "per_layer_input_gate.weight", per_layer, hidden)
            self._add(name + "per_layer_projection.weight", hidden, per_layer)
            self._add(name + "layer_scalar", 1, value=1)

    def _make_vision(self):
        vision = self.vision
        hidden, width, dim = (vision["hidden_size"], vision["intermediate_size"],
                              vision["head_dim"])
        rows = vision["num_attention_heads"] * dim
        pixels = 3 * vision["patch_size"] ** 2
        self._add(VISION + "patch_embedder.input_proj.weight", hidden, pixels)
        self._add(VISION + "patch_embedder.position_embedding_table", 2,
                  vision["position_embedding_size"], hidden, value=0)
        for index in range(vision["num_hidden_layers"]):
            name = f"{VISION}encoder.layers.{index}."
            for norm in ("input_layernorm", "pre_feedforward_layernorm"):
                self._add(name + norm + ".weight", hidden, value=1)
            for norm in ("post_attention_layernorm", "post_feedforward_layernorm"):
                self._add(name + norm + ".weight", hidden, value=0.5)
            for norm in ("q_norm", "k_norm"):
                self._add(f"{name}self_attn.{norm}.weight", dim, value=dim ** -0.25)
            for part in ("q_proj", "k_proj", "v_proj"):
                self._add(f"{name}self_attn.{part}.linear.weight", rows, hidden)
            self._add(name + "self_attn.o_proj.linear.weight", hidden, rows)
            self._add(name + "mlp.gate_proj.linear.weight", width, hidden)
            self._add(name + "mlp.up_proj.linear.weight", width, hidden)
            self._add(name + "mlp.down_proj.linear.weight", hidden, width)
        self._add("model.embed_vision.embedding_projection.weight", self.text["hidden_size"],
                  hidden)

    def _make_audio(self):
        audio = self.audio
        hidden, heads = audio["hidden_size"], audio["num_attention_heads"]
        first, second = audio["subsampling_conv_channels"]
        conv = AUDIO + "subsample_conv_projection."
        self._add(conv + "layer0.conv.weight", first, 1, 3, 3, std=1 / 3)
        self._add(conv + "layer0.norm.weight", first, value=1)
        self._add(conv + "layer1.conv.weight", second, first, 3, 3,
                  std=1 / math.sqrt(9 * first))
        self._add(conv + "layer1.norm.weight", second, value=1)
        self._add(conv + "input_proj_linear.weight", hidden, 32 * second)
        for index in range(audio["num_hidden_layers"]):
            name = f"{AUDIO}layers.{index}."
            for part in ("feed_forward1.", "feed_forward2."):
                self._add(name + part + "pre_layer_norm.weight", hidden, value=1)
                self._add(name + part + "post_layer_norm.weight", hidden, value=1)
                self._add(name + part + "ffw_layer_1.linear.weight", 4 * hidden, hidden)
                self._add(name + part + "ffw_layer_2.linear.weight", hidden, 4 * hidden)
            for part in ("q_proj", "k_proj", "v_proj", "post"):
                self._add(f"{name}self_attn.{part}.linear.weight", hidden, hidden)
            self._add(name + "self_attn.relative_k_proj.weight", hidden, hidden)
            self._add(name + "self_attn.per_dim_scale", hidden // heads, value=0)
            for norm in ("norm_pre_attn", "norm_post_attn", "norm_out", "lconv1d.pre_layer_norm",
                         "lconv1d.conv_norm"):
                self._add(name + norm + ".weight", hidden, value=1)
            self._add(name + "lconv1d.linear_start.linear.weight", 2 * hidden, hidden)
            self._add(name + "lconv1d.linear_end.linear.weight", hidden, hidden)
            self._add(name + "lconv1d.depthwise_conv1d.weight", hidden, 1,
                      audio["conv_kernel_size"], std=0.4)
        self._add(AUDIO + "output_proj.weight", audio["output_proj_dims"], hidden)
        self._add(AUDIO + "output_proj.bias", audio["output_proj_dims"], value=0)
        self._add("model.embed_audio.embedding_projection.weight", self.text["hidden_size"],
                  audio["output_proj_dims"])

    def load(self, tensors):
        """Takes the weights of a checkpoint: name -> tensor. Every weight must be there."""
        bounds = {}
        for name, tensor in tensors.items():
            if name in self.names:
                with torch.no_grad():
                    self.weight(name).copy_(tensor.float())
            elif name.endswith(("input_min", "input_max", "output_min", "output_max")):
                linear, which = name.rsplit(".", 1)
                bounds.setdefault(linear, {})[which] = float(tensor)
            elif not any(part in name for part in ("k_proj", "v_proj", "k_norm")):
                raise ValueError(f"unknown tensor {name}")
        missing = set(self.names) - set(tensors)
        if missing:
            raise ValueError(f"missing tensors: {sorted(missing)}")
        self.bounds = {name: (b["input_min"], b["input_max"], b["output_min"], b["output_max"])
                       for name, b in bounds.items()}

    # ---- Text ----

    def embed(self, ids):
        """[B,T] ids -> [B,T,H], scaled. Media positions must hold the pad id."""
        scale = torch.tensor(math.sqrt(self.text["hidden_size"]))
        if self.config.get("dtype", "bfloat16") == "bfloat16":
            scale = scale.bfloat16().float()
        return F.embedding(ids, self.weight(TEXT + "embed_tokens.weight")) * scale

    def per_layer_inputs(self, ids, x):
        """[B,T,layers,P]: what each layer gets of the token itself and of its embedding."""
        count, width = self.text["num_hidden_layers"], self.text["hidden_size_per_layer_input"]
        shape = (*ids.shape, count, width)
        tokens = F.embedding(ids, self.weight(TEXT + "embed_tokens_per_layer.weight"))
        scale = torch.tensor(math.sqrt(width)).bfloat16().float()
        context = F.linear(x, self.weight(TEXT + "per_layer_model_projection.weight"))
        context = context * self.text["hidden_size"] ** -0.5
        context = rms(context.view(shape), self.weight(TEXT + "per_layer_projection_norm.weight"))
        return (context + tokens.view(shape) * scale) * 2 ** -0.5

    def _rope(self, kind, dim, positions):
        rope = self.text["rope_parameters"][kind]
        j = torch.arange(dim // 2, dtype=torch.float32)
        inverse = rope["rope_theta"] ** (-2 * j / dim)
        if rope["rope_type"] == "proportional":
            inverse[int(rope["partial_rotary_factor"] * dim // 2):] = 0
        angle = positions.float()[..., None] * inverse
        return angle.cos(), angle.sin()

    def _mask(self, kind, positions, keys):
        """[...,queries,keys] to be added to the scores: causal, within the window if sliding."""
        p, t = positions[..., None], torch.arange(keys)
        visible = t <= p
        if kind == "sliding_attention":
            visible = visible & (t > p - self.text["sliding_window"])
        return torch.zeros(visible.shape).masked_fill(~visible, -1e9)

    def decode(self, ids, x, cache=None, wanted=None):
        """The residual stream after all layers and the final norm, [B,T,H].

        `ids` are those of embed(), `x` is embed() with media rows put in. `cache`, a dict, holds
        the keys and values of earlier positions and takes the new ones. `wanted` [B,K] names the
        positions whose result is needed, which becomes [B,K,H]: layers that borrow their keys and
        values need not run for the others.
        """
        batch, length, _ = x.shape
        heads, kv_heads = self.text["num_attention_heads"], self.text["num_key_value_heads"]
        past = 0 if not cache else cache[0][0].shape[2]
        positions = torch.arange(past, past + length)
        kinds = {layer["kind"]: layer["head_dim"] for layer in self.layers}
        ropes = {kind: self._rope(kind, dim, positions) for kind, dim in kinds.items()}
        masks = {kind: self._mask(kind, positions, past + length) for kind in kinds}
        per_layer = self.per_layer_inputs(ids, x)
        keys_values = {}
        for index, layer in enumerate(self.layers):
            name, kind, dim = f"{TEXT}layers.{index}.", layer["kind"], layer["head_dim"]
            if wanted is not None and index == self.first_shared:
                rows = torch.arange(batch)[:, None]
                x, per_layer, length = x[rows, wanted], per_layer[rows, wanted], wanted.shape[1]
                ropes = {k: self._rope(k, kinds[k], wanted[:, None]) for k in kinds}
                masks = {k: self._mask(k, wanted, past + ids.shape[1])[:, None, None]
                         for k in kinds}

            def split(y, count):
                return y.view(batch, length, count, dim).transpose(1, 2)

            a = rms(x, self.weight(name + "input_layernorm.weight"))
            q = split(F.linear(a, self.weight(name + "self_attn.q_proj.weight")), heads)
            q = rotate(rms(q, self.weight(name + "self_attn.q_norm.weight")), *ropes[kind])
            if layer["kv"] == index:
                k = split(F.linear(a, self.weight(name + "self_attn.k_proj.weight")), kv_heads)
                k = rotate(rms(k, self.weight(name + "self_attn.k_norm.weight")), *ropes[kind])
                v = rms(split(F.linear(a, self.weight(name + "self_attn.v_proj.weight")),
                              kv_heads))
                if cache is not None:
                    if index in cache:
                        k = torch.cat((cache[index][0], k), 2)
                        v = torch.cat((cache[index][1], v), 2)
                    cache[index] = (k, v)
                keys_values[index] = (k, v)
            k, v = keys_values[layer["kv"]]
            groups = heads // kv_heads
            # The queries of one key/value head lie together: [B, kv, groups*T, d].
            q = q.reshape(batch, kv_heads, groups * length, dim)
            scores = (q @ k.transpose(-1, -2)).view(batch, kv_heads, groups, length, -1)
            prob = torch.softmax(scores + masks[kind], -1)
            out = prob.view(batch, kv_heads, groups * length, -1) @ v
            out = out.view(batch, heads, length, dim).transpose(1, 2).reshape(batch, length, -1)
            out = F.linear(out, self.weight(name + "self_attn.o_proj.weight"))
            x = x + rms(out, self.weight(name + "post_attention_layernorm.weight"))

            x = feed_forward(self.weight, name, x)

            g = gelu(F.linear(x, self.weight(name + "per_layer_input_gate.weight")))
            g = F.linear(g * per_layer[:, :, index],
                         self.weight(name + "per_layer_projection.weight"))
            x = x + rms(g, self.weight(name + "post_per_layer_input_norm.weight"))
            x = x * self.weight(name + "layer_scalar")
        return rms(x, self.weight(TEXT + "norm.weight"))

    def logits(self, hidden):
        cap = self.text["final_logit_softcapping"]
        z = F.linear(hidden, self.weight(TEXT + "embed_tokens.weight"))
        return cap * torch.tanh(z / cap)

    # ---- Towers ----

    def _clipped(self, name, x):
        """A linear layer whose input and output are clamped to bounds that lie in the file."""
        low, high, out_low, out_high = self.bounds.get(
            name, (-INFINITY, INFINITY, -INFINITY, INFINITY))
        if name in self.bounds:
            x = x.clamp(low, high)
        y = F.linear(x, self.weight(name + ".linear.weight"))
        if self.observed is not None:
            seen = self.observed.get(name, (0.0, 0.0, 0.0, 0.0))
            now = (x.min(), x.max(), y.min(), y.max())
            self.observed[name] = tuple(
                (min if i % 2 == 0 else max)(seen[i], float(now[i])) for i in range(4))
        return y.clamp(out_low, out_high) if name in self.bounds else y

    def encode_image(self, patches, columns, rows, left=0, top=0):
        """[B,N,768] patches in 0..1, of a grid of `columns` x `rows`, row by row -> [B,n,D].

        `left` and `top` say where a cut-out lies in its picture, in patches.
        """
        vision = self.vision
        heads, dim = vision["num_attention_heads"], vision["head_dim"]
        batch, count, _ = patches.shape
        px = torch.arange(columns).repeat(rows) + left
        py = torch.arange(rows).repeat_interleave(columns) + top
        x = F.linear(2 * (patches - 0.5), self.weight(VISION + "patch_embedder.input_proj.weight"))
        table = self.weight(VISION + "patch_embedder.position_embedding_table")
        x = x + (table[0, px] + table[1, py])

        half = dim // 2  # one half turns with the column, the other with the row
        inverse = vision["rope_parameters"]["rope_theta"] ** (
            -2 * torch.arange(half // 2, dtype=torch.float32) / half)
        ax, ay = px[:, None] * inverse, py[:, None] * inverse

        def rope(y):
            return torch.cat((rotate(y[..., :half], ax.cos(), ax.sin()),
                              rotate(y[..., half:], ay.cos(), ay.sin())), -1)

        def split(y):
            return y.view(batch, count, heads, dim).transpose(1, 2)

        for index in range(vision["num_hidden_layers"]):
            name = f"{VISION}encoder.layers.{index}."
            a = rms(x, self.weight(name + "input_layernorm.weight"))
            q = split(self._clipped(name + "self_attn.q_proj", a))
            k = split(self._clipped(name + "self_attn.k_proj", a))
            v = rms(split(self._clipped(name + "self_attn.v_proj", a)))
            q = rope(rms(q, self.weight(name + "self_attn.q_norm.weight")))
            k = rope(rms(k, self.weight(name + "self_attn.k_norm.weight")))
            out = torch.softmax(q @ k.transpose(-1, -2), -1) @ v
            out = self._clipped(name + "self_attn.o_proj",
                                out.transpose(1, 2).reshape(batch, count, -1))
            x = x + rms(out, self.weight(name + "post_attention_layernorm.weight"))
            b = rms(x, self.weight(name + "pre_feedforward_layernorm.weight"))
            m = gelu(self._clipped(name + "mlp.gate_proj", b)) * self._clipped(
                name + "mlp.up_proj", b)
            m = self._clipped(name + "mlp.down_proj", m)
            x = x + rms(m, self.weight(name + "post_feedforward_layernorm.weight"))

        k = vision["pooling_kernel_size"]
        x = x.view(batch, rows // k, k, columns // k, k, -1).mean((2, 4))
        return x.reshape(batch, -1, x.shape[-1]) * math.sqrt(x.shape[-1])

    def encode_audio(self, mel):
        """[B,F,128] log-mel frames -> [B,ceil(F/4),D]. Causal: zeros at the end change nothing."""
        audio = self.audio
        heads = audio["num_attention_heads"]
        conv = AUDIO + "subsample_conv_projection."
        x = mel[:, None]
        for stage in ("layer0", "layer1"):
            x = F.conv2d(x, self.weight(f"{conv}{stage}.conv.weight"), stride=2, padding=1)
            x = x.permute(0, 2, 3, 1)  # the norm is over channels
            x = F.layer_norm(x, x.shape[-1:], self.weight(f"{conv}{stage}.norm.weight"), eps=EPS)
            x = torch.relu(x).permute(0, 3, 1, 2)
        x = x.permute(0, 2, 3, 1).flatten(2)
        x = F.linear(x, self.weight(conv + "input_proj_linear.weight"))
        batch, count, hidden = x.shape
        dim, left = hidden // heads, audio["attention_context_left"] - 1

        # Distances 0..left as sine and cosine waves. The reference keeps their frequencies in the
        # dtype of the model.
        steps = -torch.arange(hidden // 2) * (math.log(10000) / (hidden // 2 - 1))
        if self.config.get("dtype", "bfloat16") == "bfloat16":
            steps = steps.bfloat16().float().exp().bfloat16().float()
        else:
            steps = steps.exp()
        wave = torch.arange(left + 1)[:, None] * steps
        wave = torch.cat((wave.sin(), wave.cos()), -1)
        delta = torch.arange(count)[:, None] - torch.arange(count)[None]
        mask = torch.zeros(count, count).masked_fill((delta < 0) | (delta >= left), -1e9)
        delta = delta.clamp(0, left)

        def split(y):
            return y.view(batch, count, heads, dim).transpose(1, 2)

        def feed_forward(x, name):
            y = rms(x, self.weight(name + "pre_layer_norm.weight"))
            y = self._clipped(name + "ffw_layer_2", F.silu(self._clipped(name + "ffw_layer_1", y)))
            y = rms(y, self.weight(name + "post_layer_norm.weight"))
            return x + audio["residual_weight"] * y

        for index in range(audio["num_hidden_layers"]):
            name = f"{AUDIO}layers.{index}."
            x = feed_forward(x, name + "feed_forward1.")

            y = rms(x, self.weight(name + "norm_pre_attn.weight"))
            q = split(self._clipped(name + "self_attn.q_proj", y))
            k = split(self._clipped(name + "self_attn.k_proj", y))
            v = split(self._clipped(name + "self_attn.v_proj", y))
            q = q * (F.softplus(self.weight(name + "self_attn.per_dim_scale")) *
                     (dim ** -0.5 / math.log(2)))
            k = k * (math.log(1 + math.e) / math.log(2))
            r = F.linear(wave, self.weight(name + "self_attn.relative_k_proj.weight"))
            r = r.view(left + 1, heads, dim).permute(1, 2, 0)
            near = torch.gather(q @ r, -1, delta.expand(batch, heads, count, count))
            cap = audio["attention_logit_cap"]
            scores = cap * torch.tanh((q @ k.transpose(-1, -2) + near) / cap)
            out = torch.softmax(scores + mask, -1) @ v
            out = self._clipped(name + "self_attn.post",
                                out.transpose(1, 2).reshape(batch, count, hidden))
            x = x + rms(out, self.weight(name + "norm_post_attn.weight"))

            y = rms(x, self.weight(name + "lconv1d.pre_layer_norm.weight"))
            y = F.glu(self._clipped(name + "lconv1d.linear_start", y), -1)
            taps = self.weight(name + "lconv1d.depthwise_conv1d.weight")[:, 0]
            padded = F.pad(y, (0, 0, taps.shape[1] - 1, 0))
            y = sum(padded[:, j:j + count] * taps[:, j] for j in range(taps.shape[1]))
            y = F.silu(rms(y, self.weight(name + "lconv1d.conv_norm.weight")))
            x = x + self._clipped(name + "lconv1d.linear_end", y)

            x = feed_forward(x, name + "feed_forward2.")
            x = rms(x, self.weight(name + "norm_out.weight"))
        return F.linear(x, self.weight(AUDIO + "output_proj.weight"),
                        self.weight(AUDIO + "output_proj.bias"))

    def soft_tokens(self, encoded, modality):
        """What a tower gave, [B,n,D] -> rows of the decoder's input, [B,n,H]."""
        return F.linear(rms(encoded),
                        self.weight(f"model.embed_{modality}.embedding_projection.weight"))
