/** A connector as a program of its own, whose pull does what the setting `do` says. */

import { writeFileSync } from "node:fs";
import { checkpoint, completeListing, document, serve } from "@superfasttt/connector";
import { author, manifest } from "./author.js";

const settings = {
  type: "object",
  properties: { do: { type: "string" }, file: { type: "string" }, password: { type: "string", "x-secret": true } },
};

serve(
  author(
    async function* (ctx) {
      const { do: what, file } = ctx.settings as { do?: string; file?: string };
      switch (what) {
        case "wait":
          yield checkpoint("begun", { hasMore: true });
          try {
            await new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
          } finally {
            if (file) writeFileSync(file, "cancelled");
          }
          return;
        case "flood":
          for (let number = 0; ; number += 1) {
            if (file && number % 100 === 0) writeFileSync(file, String(number));
            yield document(`${number}`, "x".repeat(10_000));
          }
        case "print":
          console.log("printed with %s", "console.log");
          process.stdout.write("written to stdout\n");
          ctx.log.info("two\nlines", { token: ctx.credential?.token(), password: ctx.settings["password"], from: 7 });
          void Promise.reject(new Error("nobody waits for this"));
          throw new Error(`it quotes ${ctx.credential?.token()}`);
        default:
          for (let number = 0; number < 50; number += 1)
            yield document(`${ctx.settings["prefix"]}-${number}`, `text of ${ctx.settings["prefix"]}`);
          yield completeListing("end");
      }
    },
    { manifest: manifest({ settings, auth: { type: "api_key" } }) },
  ),
);
