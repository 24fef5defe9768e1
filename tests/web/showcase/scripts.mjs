/**
 * What the jobs and sessions of the showcase run: small shell scripts that show what such programs show.
 *
 * @module
 */

/** Ten tests a second or so, in colour. */
export const unitTests = String.raw`
printf '\033[1mrunning 48 tests\033[0m\n'
for area in lexer parser resolver types codegen format; do
  for n in 1 2 3 4 5 6 7 8; do printf 'test %-10s case_%02d ... \033[32mok\033[0m\n' "$area" "$n"; sleep 0.22; done
done
printf '\ntest result: \033[32mok\033[0m. 48 passed; 0 failed; finished in 11.4s\n'`;

/** Draws its progress in place; twice as long as the laptop lives. */
export const bench = String.raw`
printf 'bench: parser (attempt %s on %s)\n' "$DARKMUX_ATTEMPT" "$(basename "$HOME")"
for n in $(seq 1 20); do printf '\r  sample %2d/20  \033[36m%s\033[0m' "$n" "$(printf '%*s' "$n" '' | tr ' ' '#')"; sleep 0.9; done
printf '\n\n  parse/small   1.82 ms  \033[32m-6.1 %%\033[0m\n  parse/large  41.07 ms  \033[32m-4.8 %%\033[0m\n'`;

/** What must not happen twice. */
export const publish = String.raw`
echo 'building 214 pages'
for n in $(seq 1 40); do printf '\r  uploading %d/40' "$n"; sleep 0.7; done
printf '\nlive\n'`;

export const lint = String.raw`
sleep 2
printf '\033[1;33mwarning\033[0m: unused variable: \033[1mlimit\033[0m\n  \033[34m--> src/api/paging.ts:42:9\033[0m\n\n'
sleep 2
printf '\033[1;31merror\033[0m: this comparison is always true\n  \033[34m--> src/api/paging.ts:77:13\033[0m\n\n2 problems (1 error, 1 warning)\n'
exit 1`;

/** Fails the first time. */
export const flaky = String.raw`
echo "integration, attempt $DARKMUX_ATTEMPT"
for n in 1 2 3 4; do sleep 0.8; printf '  scenario %d \033[32mpassed\033[0m\n' "$n"; done
if [ "$DARKMUX_ATTEMPT" = 1 ]; then printf '  scenario 5 \033[31mfailed\033[0m: connection reset by peer\n'; exit 1; fi
printf '  scenario 5 \033[32mpassed\033[0m\n'`;

export const index = String.raw`
n=0
while [ $n -lt 5000 ]; do n=$((n + 37)); printf '\rindexing \033[36m%5d\033[0m of 20000 documents' "$n"; sleep 0.6; done`;

export const links = String.raw`
for page in README DESIGN OPERATIONS PROTOCOL TESTING; do printf '%-12s %2d links \033[32mok\033[0m\n' "$page" $(( ($(printf %s "$page" | wc -c) * 7) % 23 + 4 )); sleep 0.9; done`;

export const fmt = "printf 'formatted 61 files, changed 2\\n  src/lexer.rs\\n  src/api/paging.ts\\n'";

/** A page of numbers, drawn anew all the time. */
export const monitor = String.raw`
t=0
while :; do
  t=$((t + 1)); a=$(( (t * 37) % 61 + 31 )); b=$(( (t * 17) % 9 + 58 ))
  printf '\033[H\033[2J\033[1m rack\033[0m  gpu 0: RTX 4090   %s\n\n' "$(printf '%02d:%02d' $((t / 20)) $((t * 3 % 60)))"
  printf '  load  \033[36m%-32s\033[0m %3d %%\n' "$(printf '%*s' $((a / 3)) '' | tr ' ' '|')" "$a"
  printf '  heat  \033[33m%-32s\033[0m %3d C\n' "$(printf '%*s' $((b / 3)) '' | tr ' ' '|')" "$b"
  printf '  vram  \033[35m%-32s\033[0m 19.4 of 24 GiB\n\n' '|||||||||||||||||||||||||'
  printf '  \033[2mPID     MEMORY    PROGRAM\033[0m\n  2213    18.9 GiB  llama-server  qwen3-coder-30b\n  3071     0.5 GiB  embed\n'
  sleep 3
done`;

export const watchTests = String.raw`
n=0
while :; do
  n=$((n + 1)); printf '\033[2m[watch] change %d, running 12 tests\033[0m\n' "$n"; sleep 2
  printf '  \033[32m12 passed\033[0m in 1.9%d s\n' "$((n % 10))"; sleep 5
done`;

export const devServer = String.raw`
printf '\033[32m  ready\033[0m  api on http://api.test\n\n'
n=0
while :; do
  n=$((n + 1)); printf '\033[2m%s\033[0m GET /items?after=%d \033[32m200\033[0m %d ms\n' "$(printf '%04d' "$n")" "$((n * 20))" "$((n * 7 % 23 + 3))"
  if [ $((n % 6)) = 0 ]; then printf '\033[2m%s\033[0m POST /items \033[33m409\033[0m 5 ms\n' "$(printf '%04d' "$n")"; fi
  sleep 2.5
done`;
