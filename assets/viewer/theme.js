/**
 * Light, dark, or as the system says. The choice is kept in a cookie, so that the page comes in its colours.
 *
 * @module
 */

const THEMES = ['auto', 'light', 'dark'];
const KEPT_SECONDS = 365 * 24 * 60 * 60;

/** @param {HTMLButtonElement} button @returns {() => void} goes to the next theme */
export function startTheme(button) {
  const root = document.documentElement;
  let theme = root.dataset.theme ?? THEMES[0];
  const show = () => {
    root.dataset.theme = theme;
    button.setAttribute('aria-label', `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
  };
  const change = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    document.cookie = `darkmux-theme=${theme}; Path=/; Max-Age=${KEPT_SECONDS}; SameSite=Strict`;
    show();
  };
  button.addEventListener('click', change);
  show();
  return change;
}
