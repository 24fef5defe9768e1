/**
 * Whether the page is on a phone: the same width as in the styles.
 *
 * @module
 */

export const NARROW = matchMedia('(max-width: 860px)');
