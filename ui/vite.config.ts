import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// The licences of what the bundle holds, for the package.
const LIBRARIES = [
  ...["preact", "@preact/signals", "@preact/signals-core", "markdown-it", "diff"],
  ...["hyparquet", "hyparquet-writer"],
  ...["entities", "linkify-it", "mdurl", "uc.micro", "punycode.js"],
];

function notices(): Plugin {
  return {
    name: "notices",
    generateBundle() {
      const texts = LIBRARIES.map((name) => {
        const folder = `node_modules/${name}`;
        const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
        const file = ["LICENSE", "LICENSE.txt", "LICENSE-MIT.txt", "LICENSE.md"].find((at) => {
          try {
            return readFileSync(`${folder}/${at}`);
          } catch {
            return false;
          }
        });
        const text = file ? readFileSync(`${folder}/${file}`, "utf8") : license;
        return `${name} ${version} (${license})\n\n${text.trim()}\n`;
      });
      const source = texts.join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "THIRD-PARTY-NOTICES.txt", source });
    },
  };
}

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/spanloom/server/ui/static",
    emptyOutDir: true,
    assetsDir: "a",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: {
      output: {
        // Libraries are files of their own: they change less often than the page.
        codeSplitting: {
          groups: ["preact", "markdown-it", "diff", "hyparquet"].map((name) => ({
            name: `library-${name}`,
            test: new RegExp(`node_modules/@?${name}[/-]`),
          })),
        },
      },
    },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [notices()],
  test: { include: ["test/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
