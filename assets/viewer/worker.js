/**
 * The worker that all tabs of a browser share: connects each of them to the streams.
 *
 * @module
 */

import { createSharing } from './sharing.js';

const { connect } = createSharing();

addEventListener('connect', (event) => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  const hear = connect(port);
  port.onmessage = ({ data }) => hear(data);
});
