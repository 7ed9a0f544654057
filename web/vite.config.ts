import { defineConfig } from 'vitest/config'

/** A farm for `npm run dev`; the built page is always served by its own farm. */
const farm = process.env['FARM_URL'] ?? 'http://127.0.0.1:8000'

export default defineConfig({
  base: '/ui/',
  build: {
    outDir: '../farm/ingress/web',
    emptyOutDir: true,
    target: 'es2022',
    cssCodeSplit: false,
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: URL but for pictures
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // One file of what every view needs, so that a view is one request more.
        codeSplitting: { groups: [{ name: 'page', test: /node_modules\/(preact|@preact)|src\/(api|live|watch|words|parts\/(?!virtual|delete|selection)|create\/(draft|keep|picture|specs|fields|length)\.|video\/(sections|to-form|extend|make))/ }] },
      },
    },
    license: { fileName: 'licenses.md' },
  },
  server: { host: '127.0.0.1', proxy: { '/v1': farm, '/login': farm, '/openapi.json': farm } },
  test: { include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 60_000 }, // a busy machine takes seconds for a call
})
