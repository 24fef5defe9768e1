/**
 * Light, dark, or as the system says; the choice is kept in the browser.
 *
 * @module
 */

const KEY = 'darkmux-theme';
const THEMES = ['auto', 'light', 'dark'];

/** @returns {string} */
function stored() {
  try {
    const theme = localStorage.getItem(KEY) ?? '';
    return THEMES.includes(theme) ? theme : 'auto';
  } catch {
    // A browser that keeps nothing for this page refuses even to look.
    return 'auto';
  }
}

/** @param {string} theme */
function store(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice then lasts as long as the page.
  }
}

/** @param {HTMLButtonElement} button @returns {() => void} goes to the next theme */
export function startTheme(button) {
  let theme = stored();
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.setAttribute('aria-label', `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
  };
  const change = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    store(theme);
    show();
  };
  button.addEventListener('click', change);
  show();
  return change;
}
