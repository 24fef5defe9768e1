/**
 * The page's frames: when one is drawn, and waiting until what was changed last is on the screen, so that less urgent
 * work does not hold it up.
 *
 * @module
 */

/** A page that is not drawn (behind other windows, in another tab) has no frames, and is not waited for. */
const NO_FRAME_MS = 250;

/**
 * How long the first frame waits for the first records, which are on their way: to draw the views without them takes as
 * long as to draw them with them.
 */
const FIRST_MS = 150;

/** @returns {Promise<void>} over once the next frame is drawn, or none comes */
export const nextFrame = () => new Promise((go) => {
  if (document.hidden) return go();
  requestAnimationFrame(() => setTimeout(go));
  setTimeout(go, NO_FRAME_MS);
});

/**
 * When there is something to draw: once a frame, however often the state changes.
 *
 * @param {(all: boolean) => void} draw @param {boolean} waits whether the first frame waits for what is to be shown in it
 */
export function createFrames(draw, waits) {
  let scheduled = false;
  let waiting = waits;
  /** @param {boolean} [all] something that views look at is another than it was, and is not in the state */
  function now(all = false) {
    scheduled = false;
    waiting = false;
    draw(all);
  }
  return {
    now,
    /** With the next frame. @param {boolean} ready whether there is what the first one waits for */
    soon(ready) {
      if (waiting && !ready) return;
      if (!scheduled) requestAnimationFrame(() => now());
      scheduled = true;
    },
    start() {
      if (waiting) setTimeout(() => waiting && now(), FIRST_MS);
      else now();
    },
  };
}
