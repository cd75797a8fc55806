# Completion of gemma4 for bash. Written by scripts/update_manual.sh from the program's own flags.

_gemma4_words() {
  mapfile -t COMPREPLY < <(compgen "$@" -- "$_gemma4_word")
}

_gemma4_paths() {
  compopt -o filenames 2>/dev/null
  _gemma4_words "$@"
}

_gemma4() {
  local _gemma4_word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]} command= i
  COMPREPLY=()
  # bash splits --flag=value into three words.
  if [[ $_gemma4_word == '=' ]]; then
    _gemma4_word=
  elif [[ $flag == '=' ]]; then
    flag=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      run | chat | transcribe | describe-image | quantize | pull | bench) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  case "$command $flag" in
    'run -p' | \
    'run --prompt' | \
    'run --tool-timeout' | \
    'run --max-pixels' | \
    'run --video-frames' | \
    'run --video-fps' | \
    'run --max-duration' | \
    'run --logprobs' | \
    'run --prompt-logprobs' | \
    'run --regex' | \
    'run -n' | \
    'run --max-tokens' | \
    'run --temperature' | \
    'run --temp' | \
    'run --top-k' | \
    'run --top-p' | \
    'run --min-p' | \
    'run --repetition-penalty' | \
    'run --presence-penalty' | \
    'run --frequency-penalty' | \
    'run --seed' | \
    'run --stop' | \
    'run --tensor-parallel' | \
    'run -t' | \
    'run --threads' | \
    'run -c' | \
    'run --context' | \
    'run --model-option' | \
    'chat --max-pixels' | \
    'chat --video-frames' | \
    'chat --video-fps' | \
    'chat --max-duration' | \
    'chat --tool-timeout' | \
    'chat -n' | \
    'chat --max-tokens' | \
    'chat --temperature' | \
    'chat --temp' | \
    'chat --top-k' | \
    'chat --top-p' | \
    'chat --min-p' | \
    'chat --repetition-penalty' | \
    'chat --presence-penalty' | \
    'chat --frequency-penalty' | \
    'chat --seed' | \
    'chat --stop' | \
    'chat --tensor-parallel' | \
    'chat -t' | \
    'chat --threads' | \
    'chat -c' | \
    'chat --context' | \
    'chat --model-option' | \
    'transcribe --offset' | \
    'transcribe --duration' | \
    'transcribe --segment' | \
    'transcribe --overlap' | \
    'transcribe --max-duration' | \
    'transcribe --pcm' | \
    'transcribe --translate' | \
    'transcribe --prompt' | \
    'transcribe -n' | \
    'transcribe --max-tokens' | \
    'transcribe --temperature' | \
    'transcribe --temp' | \
    'transcribe --top-k' | \
    'transcribe --top-p' | \
    'transcribe --min-p' | \
    'transcribe --repetition-penalty' | \
    'transcribe --presence-penalty' | \
    'transcribe --frequency-penalty' | \
    'transcribe --seed' | \
    'transcribe --stop' | \
    'transcribe --tensor-parallel' | \
    'transcribe -t' | \
    'transcribe --threads' | \
    'transcribe -c' | \
    'transcribe --context' | \
    'transcribe --model-option' | \
    'describe-image -p' | \
    'describe-image --prompt' | \
    'describe-image --max-pixels' | \
    'describe-image -n' | \
    'describe-image --max-tokens' | \
    'describe-image --temperature' | \
    'describe-image --temp' | \
    'describe-image --top-k' | \
    'describe-image --top-p' | \
    'describe-image --min-p' | \
    'describe-image --repetition-penalty' | \
    'describe-image --presence-penalty' | \
    'describe-image --frequency-penalty' | \
    'describe-image --seed' | \
    'describe-image --stop' | \
    'describe-image --tensor-parallel' | \
    'describe-image -t' | \
    'describe-image --threads' | \
    'describe-image -c' | \
    'describe-image --context' | \
    'describe-image --model-option' | \
    'quantize --group-size' | \
    'quantize --keep' | \
    'quantize --verify' | \
    'quantize --max-kl' | \
    'quantize -t' | \
    'quantize --threads' | \
    'pull --include' | \
    'pull --revision' | \
    'pull --jobs' | \
    'pull --endpoint' | \
    'bench --workload' | \
    'bench --input-len' | \
    'bench --output-len' | \
    'bench --batch' | \
    'bench --depth' | \
    'bench --dummy' | \
    'bench --warmup' | \
    'bench --reps' | \
    'bench --max-regress' | \
    'bench --tensor-parallel' | \
    'bench -t' | \
    'bench --threads' | \
    'bench -c' | \
    'bench --context' | \
    'bench --model-option')
      :
      return ;;
    'transcribe --files-from')
      _gemma4_paths -W '-' -f
      return ;;
    'run --draft' | \
    'chat --draft' | \
    'transcribe --draft' | \
    'describe-image --draft' | \
    'bench --draft')
      _gemma4_paths -W 'off auto ngram' -d
      return ;;
    'run --exec-tools' | \
    'run -m' | \
    'run --model' | \
    'chat --exec-tools' | \
    'chat -m' | \
    'chat --model' | \
    'transcribe --out-dir' | \
    'transcribe -m' | \
    'transcribe --model' | \
    'describe-image -m' | \
    'describe-image --model' | \
    'bench -m' | \
    'bench --model')
      _gemma4_paths -d
      return ;;
    'run -f' | \
    'run --file' | \
    'run -s' | \
    'run --system' | \
    'run --messages' | \
    'run --tools' | \
    'run --chat-template' | \
    'run --tokens' | \
    'run --batch' | \
    'run --image' | \
    'run --audio' | \
    'run --video' | \
    'run -o' | \
    'run --output' | \
    'run --json-schema' | \
    'run --grammar' | \
    'chat -s' | \
    'chat --system' | \
    'chat --load' | \
    'chat --save' | \
    'chat --image' | \
    'chat --audio' | \
    'chat --video' | \
    'chat --tools' | \
    'chat -o' | \
    'chat --output' | \
    'transcribe -o' | \
    'transcribe --output' | \
    'describe-image --files-from' | \
    'describe-image -o' | \
    'describe-image --output' | \
    'pull --token-file' | \
    'bench --baseline' | \
    'bench -o' | \
    'bench --output')
      _gemma4_paths -f
      return ;;
    'run --image-tokens' | \
    'chat --image-tokens' | \
    'describe-image --image-tokens')
      _gemma4_words -W '70 140 280 560 1120 auto' 
      return ;;
    'run --color' | \
    'chat --color' | \
    'transcribe --color' | \
    'describe-image --color' | \
    'bench --color')
      _gemma4_words -W 'auto always never' 
      return ;;
    'run --device' | \
    'chat --device' | \
    'transcribe --device' | \
    'describe-image --device' | \
    'bench --device')
      _gemma4_words -W 'auto cpu reference' 
      return ;;
    'quantize --rule')
      _gemma4_words -W 'auto minmax grid' 
      return ;;
    'run --tool-choice' | \
    'chat --tool-choice')
      _gemma4_words -W 'auto none required' 
      return ;;
    'run --draft-tokens' | \
    'chat --draft-tokens' | \
    'transcribe --language' | \
    'transcribe --draft-tokens' | \
    'describe-image --draft-tokens' | \
    'bench --draft-tokens')
      _gemma4_words -W 'auto' 
      return ;;
    'run --kv-cache-dtype' | \
    'chat --kv-cache-dtype' | \
    'transcribe --kv-cache-dtype' | \
    'describe-image --kv-cache-dtype' | \
    'bench --kv-cache-dtype')
      _gemma4_words -W 'bf16 int8 fp8 f32' 
      return ;;
    'describe-image --task')
      _gemma4_words -W 'describe ocr table alt-text tags' 
      return ;;
    'run --thinking' | \
    'chat --thinking')
      _gemma4_words -W 'hide show stderr' 
      return ;;
    'run --detail' | \
    'chat --detail' | \
    'describe-image --detail')
      _gemma4_words -W 'low medium high max' 
      return ;;
    'run --weights' | \
    'run --lm-head' | \
    'chat --weights' | \
    'chat --lm-head' | \
    'transcribe --weights' | \
    'transcribe --lm-head' | \
    'describe-image --weights' | \
    'describe-image --lm-head' | \
    'bench --weights' | \
    'bench --lm-head')
      _gemma4_words -W 'stored bf16 int8 int4' 
      return ;;
    'quantize --lm-head')
      _gemma4_words -W 'stored int8 int4' 
      return ;;
    'bench --format')
      _gemma4_words -W 'table json jsonl csv markdown vllm' 
      return ;;
    'describe-image --format')
      _gemma4_words -W 'text json jsonl markdown' 
      return ;;
    'transcribe --format')
      _gemma4_words -W 'text srt vtt json jsonl' 
      return ;;
    'quantize --scheme')
      _gemma4_words -W 'w4a16 int8' 
      return ;;
  esac
  if [[ $_gemma4_word == -* ]]; then
    case $command in
      '') _gemma4_words -W '-h --help -V --version' ;;
      'run') _gemma4_words -W '-h --help -p --prompt -f --file -s --system --messages --tools --tool-choice --exec-tools --yes --no-yes --tool-timeout --chat-template --raw --no-raw --tokens --batch --print-prompt --no-print-prompt --image --audio --video --image-tokens --detail --max-pixels --video-frames --video-fps --video-audio --no-video-audio --max-duration --think --no-think --thinking -o --output -q --quiet --no-quiet -v --verbose --no-verbose --stats --no-stats --color --json --no-json --jsonl --no-jsonl --show-denoising --no-show-denoising -x --extract --no-extract --logprobs --prompt-logprobs --json-schema --json-object --no-json-object --regex --grammar -n --max-tokens --temperature --temp --top-k --top-p --min-p --repetition-penalty --presence-penalty --frequency-penalty --seed --stop --ignore-eos --no-ignore-eos -m --model --device --tensor-parallel -t --threads -c --context --weights --lm-head --cache-weights --no-cache-weights --kv-cache-dtype --exact-activations --no-exact-activations --draft --draft-tokens --model-option --plan --no-plan' ;;
      'chat') _gemma4_words -W '-h --help -s --system --load --save --history --no-history --image --audio --video --image-tokens --detail --max-pixels --video-frames --video-fps --video-audio --no-video-audio --max-duration --tools --tool-choice --exec-tools --yes --no-yes --tool-timeout --think --no-think --thinking -o --output -q --quiet --no-quiet -v --verbose --no-verbose --stats --no-stats --color --show-denoising --no-show-denoising --json --no-json -n --max-tokens --temperature --temp --top-k --top-p --min-p --repetition-penalty --presence-penalty --frequency-penalty --seed --stop -m --model --device --tensor-parallel -t --threads -c --context --weights --lm-head --cache-weights --no-cache-weights --kv-cache-dtype --exact-activations --no-exact-activations --draft --draft-tokens --model-option --plan --no-plan' ;;
      'transcribe') _gemma4_words -W '-h --help --files-from --offset --duration --segment --overlap --max-duration --pcm --language --translate --prompt --format --json --no-json --jsonl --no-jsonl --out-dir -o --output -q --quiet --no-quiet -v --verbose --no-verbose --stats --no-stats --color -n --max-tokens --temperature --temp --top-k --top-p --min-p --repetition-penalty --presence-penalty --frequency-penalty --seed --stop -m --model --device --tensor-parallel -t --threads -c --context --weights --lm-head --cache-weights --no-cache-weights --kv-cache-dtype --exact-activations --no-exact-activations --draft --draft-tokens --model-option --plan --no-plan' ;;
      'describe-image') _gemma4_words -W '-h --help -p --prompt --task --together --no-together --show --no-show --files-from --image-tokens --detail --max-pixels -o --output -q --quiet --no-quiet -v --verbose --no-verbose --stats --no-stats --color --format --json --no-json --jsonl --no-jsonl -n --max-tokens --temperature --temp --top-k --top-p --min-p --repetition-penalty --presence-penalty --frequency-penalty --seed --stop -m --model --device --tensor-parallel -t --threads -c --context --weights --lm-head --cache-weights --no-cache-weights --kv-cache-dtype --exact-activations --no-exact-activations --draft --draft-tokens --model-option --plan --no-plan' ;;
      'quantize') _gemma4_words -W '-h --help --scheme --group-size --rule --keep --lm-head --verify --max-kl --dry-run --no-dry-run --json --no-json -t --threads --force --no-force -q --quiet --no-quiet' ;;
      'pull') _gemma4_words -W '-h --help --include --revision --token-file --jobs --endpoint --dry-run --no-dry-run --json --no-json -q --quiet --no-quiet' ;;
      'bench') _gemma4_words -W '-h --help --workload --input-len --output-len --batch --depth --dummy --warmup --reps --ops --no-ops --load --no-load --env --no-env --anyway --no-anyway --format --baseline --max-regress -o --output -q --quiet --no-quiet -v --verbose --no-verbose --stats --no-stats --color -m --model --device --tensor-parallel -t --threads -c --context --weights --lm-head --cache-weights --no-cache-weights --kv-cache-dtype --exact-activations --no-exact-activations --draft --draft-tokens --model-option --plan --no-plan' ;;
    esac
  elif [[ -z $command ]]; then
    _gemma4_words -W 'run chat transcribe describe-image quantize pull bench'
  else
    _gemma4_paths -f
  fi
}

complete -F _gemma4 gemma4
