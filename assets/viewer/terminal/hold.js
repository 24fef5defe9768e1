/**
 * A key that is held types again and again, as on any keyboard.
 *
 * @module
 */

const DELAY_MS = 400;
const EVERY_MS = 66;

/** @param {(key: string) => boolean} press whether it was typed, and may be again */
export function createHold(press) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function end() {
    clearTimeout(timer);
    timer = undefined;
  }

  return {
    /** Types it at once, and again until `end`. @param {string} key */
    begin(key) {
      end();
      const again = () => {
        timer = press(key) ? setTimeout(again, EVERY_MS) : undefined;
      };
      if (press(key)) timer = setTimeout(again, DELAY_MS);
    },
    end,
  };
}
