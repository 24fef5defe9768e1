/**
 * Following the end of what grows, in a view that is scrolled.
 *
 * @module
 */

/** Distance from the end, in pixels, that still counts as being there. */
const AT_END_PX = 24;

/**
 * Who scrolls up reads, and who scrolls to the end follows. A change of a height moves the content, too, and is nobody's wish.
 *
 * @param {HTMLElement} scroller
 * @param {() => {follow: boolean} | null} state what is shown; null where nothing is
 * @param {(follow: boolean) => void} follow
 */
export function heedScrolling(scroller, state, follow) {
  let lastTop = 0;
  let lastRoom = 0;
  scroller.addEventListener('scroll', () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const room = scrollHeight - clientHeight;
    const shown = state();
    if (shown && room === lastRoom) {
      const atEnd = room - scrollTop < AT_END_PX;
      if (shown.follow && scrollTop < lastTop && !atEnd) follow(false);
      if (!shown.follow && scrollTop > lastTop && atEnd) follow(true);
    }
    lastTop = scrollTop;
    lastRoom = room;
  }, { passive: true });
}
