/**
 * Waiting until what was changed last is on the screen, so that less urgent work does not hold it up.
 *
 * @module
 */

/** A page that is not drawn (behind other windows, in another tab) has no frames, and is not waited for. */
const NO_FRAME_MS = 250;

/** @returns {Promise<void>} over once the next frame is drawn, or none comes */
export const nextFrame = () => new Promise((go) => {
  if (document.hidden) return go();
  requestAnimationFrame(() => setTimeout(go));
  setTimeout(go, NO_FRAME_MS);
});
