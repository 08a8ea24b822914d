import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

// Django serves the result as static files of the `widgets` app; django-vite finds them through the manifest.
export default defineConfig({
  base: '/static/dashboard/',
  publicDir: false,
  plugins: [vue()],
  build: {
    outDir: '../static/dashboard',
    emptyOutDir: true,
    manifest: 'manifest.json',
    target: 'es2022',
    // Chromium, Firefox and Safari that run ES2022 all preload modules themselves.
    modulePreload: { polyfill: false },
    // The table's chunk is loaded on its own, after the first paint.
    chunkSizeWarningLimit: 800,
    // One program a page: the dashboard, and those of the administration.
    rolldownOptions: {
      input: {
        main: 'src/main.ts',
        system: 'src/system/main.ts',
        editor: 'src/editor/main.ts',
      },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
})
