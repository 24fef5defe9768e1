/**
 * Makes the icons that systems want as PNG of the viewer's own, which are SVG: for iOS, and for installing the page.
 * `node tests/web/icons.mjs` writes them beside the originals in `assets/viewer`.
 *
 * @module
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { browserTest } from '../browser/harness.mjs';

const VIEWER = new URL('../../assets/viewer/', import.meta.url);
/** What is made of which. iOS cuts the corners itself, and shows black where a picture is transparent. @type {[string, string, number][]} */
const ICONS = [['icon-180.png', 'icon-maskable.svg', 180], ['icon-192.png', 'icon.svg', 192], ['icon-512.png', 'icon.svg', 512], ['icon-maskable-512.png', 'icon-maskable.svg', 512]];

await browserTest(async (page) => {
  for (const [name, source, size] of ICONS) {
    const svg = readFileSync(new URL(source, VIEWER)).toString('base64');
    await page.setViewportSize({ width: size, height: size });
    await page.setContent(`<style>body { margin: 0 } img { display: block }</style><img width="${size}" height="${size}" src="data:image/svg+xml;base64,${svg}">`);
    await page.locator('img').evaluate((image) => image instanceof HTMLImageElement && image.decode());
    writeFileSync(new URL(name, VIEWER), await page.screenshot({ omitBackground: true }));
  }
});
