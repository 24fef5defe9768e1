/**
 * What has to be known before the page is drawn for the first time, so that nothing of it changes under the reader's eye:
 * its colours, and whether it shows the flow.
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
})();
