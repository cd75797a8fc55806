"""config.json and its companions: the sizes of the demo model."""

# Gemma 4's control tokens, in the order of their ids there; here the ids are 0 to 23.
CONTROL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>",
                  "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
                  '<|"|>', "<|think|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>",
                  "<|image>", "<|audio>", "<|image|>", "<|audio|>", "<image|>", "<audio|>",
                  "<|video|>"]
ID = {token: number for number, token in enumerate(CONTROL_TOKENS)}
VOCABULARY = 1536
STOPS = [ID["<eos>"], ID["<turn|>"]]


def config():
    rope = {"full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0,
                               "rope_type": "proportional"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}}
    text = {
        "attention_bias": False, "attention_k_eq_v": False, "bos_token_id": ID["<bos>"],
        "dtype": "bfloat16", "enable_moe_block": False, "eos_token_id": ID["<eos>"],
        "final_logit_softcapping": 30.0, "global_head_dim": 64, "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 128,
        "hidden_size_per_layer_input": 16, "intermediate_size": 256,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "max_position_embeddings": 2048, "model_type": "gemma4_text", "num_attention_heads": 4,
        "num_global_key_value_heads": None, "num_hidden_layers": 6, "num_key_value_heads": 2,
        "num_kv_shared_layers": 2, "pad_token_id": ID["<pad>"], "rms_norm_eps": 1e-6,
        "rope_parameters": rope, "sliding_window": 64, "tie_word_embeddings": True,
        "use_bidirectional_attention": None, "use_double_wide_mlp": True,
        "vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY,
    }
    vision = {
        "attention_bias": False, "dtype": "bfloat16", "global_head_dim": 32, "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 64, "intermediate_size": 128,
        "model_type": "gemma4_vision", "num_attention_heads": 2, "num_hidden_layers": 3,
        "num_key_value_heads": 2, "patch_size": 16, "pooling_kernel_size": 3,
        "position_embedding_size": 256, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}, "standardize": False,
        "use_clipped_linears": True,
    }
    audio = {
        "attention_chunk_size": 12, "attention_context_left": 13, "attention_context_right": 0,
        "attention_invalid_logits_value": -1e9, "attention_logit_cap": 50.0,
        "conv_kernel_size": 5, "dtype": "bfloat16", "gradient_clipping": 1e10,
        "hidden_act": "silu", "hidden_size": 96, "model_type": "gemma4_audio",
        "num_attention_heads": 4, "num_hidden_layers": 3, "output_proj_dims": 96,
        "residual_weight": 0.5, "rms_norm_eps": 1e-6, "subsampling_conv_channels": [16, 8],
        "use_clipped_linears": True,
    }
    return {
        "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4",
        "dtype": "bfloat16", "eos_token_id": STOPS, "tie_word_embeddings": True,
        "boi_token_id": ID["<|image>"], "image_token_id": ID["<|image|>"],
        "eoi_token_id": ID["<image|>"], "boa_token_id": ID["<|audio>"],
        "audio_token_id": ID["<|audio|>"], "eoa_token_id": ID["<audio|>"],
        "eoa_token_index": ID["<audio|>"], "video_token_id": ID["<|video|>"],
        "vision_soft_tokens_per_image": 70,
        "text_config": text, "vision_config": vision, "audio_config": audio,
    }


def assistant_config():
    """The model that drafts for it. Head sizes, window and rotation are those of the model."""
    own = config()
    text = dict(own["text_config"], hidden_size=64, hidden_size_per_layer_input=0,
                intermediate_size=256, final_logit_softcapping=None, num_hidden_layers=4,
                layer_types=["sliding_attention"] * 3 + ["full_attention"],
                num_kv_shared_layers=4, use_double_wide_mlp=False, vocab_size_per_layer_input=0)
    return {"architectures": ["Gemma4AssistantForCausalLM"], "model_type": "gemma4_assistant",
            "dtype": "bfloat16", "backbone_hidden_size": own["text_config"]["hidden_size"],
            "eos_token_id": STOPS, "tie_word_embeddings": True, "use_ordered_embeddings": False,
            "text_config": text}


def generation_config():
    return {"bos_token_id": ID["<bos>"], "pad_token_id": ID["<pad>"], "do_sample": False,
            "eos_token_id": STOPS + [ID["<|tool_response>"]],
            "suppress_tokens": [ID[token] for token in (
                "<|image>", "<|audio>", "<|image|>", "<|audio|>", "<image|>", "<audio|>",
                "<|video|>")],
            "temperature": 1.0, "top_k": 64, "top_p": 0.95}


def tokenizer_config():
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>",
             "unk_token": "<unk>", "mask_token": "<mask>", "boi_token": "<|image>",
             "eoi_token": "<image|>", "image_token": "<|image|>", "boa_token": "<|audio>",
             "eoa_token": "<audio|>", "audio_token": "<|audio|>"}
    return {"tokenizer_class": "GemmaTokenizer", "padding_side": "left",
            "model_max_length": 2048, **names}


def processor_config():
    image = {"do_convert_rgb": True, "do_normalize": False, "do_rescale": True,
             "do_resize": True, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0],
             "image_processor_type": "Gemma4ImageProcessor", "image_seq_length": 70,
             "max_soft_tokens": 70, "patch_size": 16, "pooling_kernel_size": 3, "resample": 3,
             "rescale_factor": 1 / 255}
    video = {"video_processor_type": "Gemma4VideoProcessor", "max_soft_tokens": 70,
             "num_frames": 32, "patch_size": 16, "pooling_kernel_size": 3, "do_normalize": True,
             "do_rescale": True, "rescale_factor": 1 / 255, "resample": 3}
    audio = {"feature_extractor_type": "Gemma4AudioFeatureExtractor", "feature_size": 128,
             "sampling_rate": 16000, "frame_length_ms": 20.0, "hop_length_ms": 10.0,
             "fft_length": 512, "frame_length": 320, "hop_length": 160, "min_frequency": 0.0,
             "max_frequency": 8000.0, "mel_floor": 0.001, "preemphasis": 0.0,
             "input_scale_factor": 1.0, "dither": 0.0, "padding_value": 0.0}
    return {"processor_class": "Gemma4Processor", "audio_ms_per_token": 40,
            "audio_seq_length": 750, "image_seq_length": 70, "image_processor": image,
            "video_processor": video, "feature_extractor": audio}
