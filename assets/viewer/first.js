/**
 * What has to be known before the page is drawn for the first time, so that nothing of it changes under the reader's eye:
 * its colours, and whether it shows the flow. And what is wanted first is asked for while the viewer is still on its way.
 * It is put into the page itself, which would else wait for it; no module, because modules run after that.
 *
 * @module
 */

(() => {
  const root = document.documentElement;
  const page = location.pathname.split('/')[1] || 'flow';
  root.dataset.first = page === 'play' ? 'flow' : page;
  try {
    // The same as in theme.js.
    root.dataset.theme = localStorage.getItem('darkmux-theme') ?? 'auto';
  } catch {
    // A browser that keeps nothing for this page refuses even to look.
  }
  const isLive = document.querySelector('meta[name="darkmux-mode"]')?.getAttribute('content') === 'live';
  // What has been is asked for when the viewer knows what.
  if (!isLive || /^\/flow\/./.test(location.pathname) || /[?&]replay=/.test(location.search)) return;
  // The same as the feed asks for, which so finds the answer there: nothing else may be other than in api.js and records.js.
  /** @type {import('./api.js').FirstAnswer} */
  const first = { path: `/flow/${new Date().toISOString().slice(0, 10)}?limit=100`, answer: null };
  const globals = Object(globalThis);
  globals.firstAnswer = first;
  // Once the first frame is drawn: to ask takes as long as to draw a tenth of it. The viewer asks itself if it is faster.
  requestAnimationFrame(() => setTimeout(() => {
    if (globals.firstAnswer === first) first.answer = fetch(first.path, { cache: 'no-store', signal: AbortSignal.timeout(30_000) }).catch(() => null);
  }));
})();
