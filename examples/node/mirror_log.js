// Mirror an account's log into a file, from Node: every event once, whatever is restarted.
//
//     npm ci
//     export FLEXCORE_ADDRESS=127.0.0.1:7700 FLEXCORE_KEY=...
//     node mirror_log.js events.jsonl
//
// The file is written as by ../mirror_log.py: one line per message, with its change sets and
// the token to go on from, both in one write. A kill at any moment costs nothing, because on
// the next start the token of the last whole line counts. What was written is printed, one
// line of JSON per event.
//
// 64-bit integers (sequences, revisions) are strings here, as in JSON of protobuf: a number
// of JavaScript holds 53 bits. Compare them as BigInt.

import fs from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos", import.meta.url));
// A stream that is silent for this long is dead: heartbeats come every 15 seconds.
const SILENCE_MS = 45_000;
// A reconnect waits a random part of this, which doubles with each attempt in a row.
const BACKOFF_MS = 200;
const BACKOFF_MS_MAX = 10_000;
const OPTIONS = {
  // A vanished server is noticed within 28 seconds, between two streams too.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 8_000,
  "grpc.keepalive_permit_without_calls": 1,
  // Without it a server that comes back is found by the channel's own, longer back-off.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": BACKOFF_MS_MAX,
};

function connect(address) {
  const definition = loader.loadSync("flexcore/v1/event_service.proto", {
    includeDirs: [PROTOS],
    longs: String,
    enums: String,
    arrays: true, // an empty one is [], not absent
  });
  const { EventService } = grpc.loadPackageDefinition(definition).flexcore.v1;
  // TLS is the proxy's: beyond loopback take grpc.credentials.createSsl().
  return new EventService(address, grpc.credentials.createInsecure(), OPTIONS);
}

// Returns the token of the last whole line, and cuts what was half written.
function lastToken(file) {
  const kept = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.alloc(0);
  const end = kept.lastIndexOf("\n") + 1;
  if (end < kept.length) fs.truncateSync(file, end);
  const lines = kept.subarray(0, end).toString().trimEnd().split("\n");
  return lines.at(-1) === "" ? "" : JSON.parse(lines.at(-1)).token;
}

// Appends what happens until the stream ends or is silent; throws what ended it.
async function mirror(client, key, file, heard) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  const stream = client.WatchEvents({ resumeToken: lastToken(file) }, metadata);
  stream.on("error", () => {}); // thrown below; one after that is of our own cancel
  const silence = setTimeout(() => stream.cancel(), SILENCE_MS);
  let changeSets = [];
  try {
    // One message at a time: while one is handled, flow control holds back the rest.
    for await (const response of stream) {
      silence.refresh();
      heard();
      changeSets.push(...response.changeSets);
      if (changeSets.length > 0 && response.complete) {
        append(file, { change_sets: changeSets, token: response.resumeToken });
        changeSets = [];
      }
      // After a heartbeat or the first part of something large, the token stands as it was.
      if (response.goAway) return;
    }
  } finally {
    clearTimeout(silence);
    stream.cancel();
  }
}

function append(file, line) {
  fs.appendFileSync(file, JSON.stringify(line) + "\n");
  for (const { events } of line.change_sets) {
    for (const event of events) console.log(JSON.stringify(event));
  }
}

// Returns if opening the stream again makes sense, else throws.
function recover(error, file) {
  switch (error.code) {
    case grpc.status.UNAVAILABLE: // the server is away, or stops
    case grpc.status.CANCELLED: // it was silent for too long
    case grpc.status.RESOURCE_EXHAUSTED: // we read too slowly; the token holds
      return;
    case grpc.status.OUT_OF_RANGE:
      // The log cannot go on after the token. Whoever keeps state reads it anew by lists
      // here; a mirror says that something is missing and begins with the oldest held.
      append(file, { change_sets: [], missed: error.details, token: "" });
      return;
    default:
      throw error;
  }
}

async function main(file) {
  const { FLEXCORE_ADDRESS: address, FLEXCORE_KEY: key } = process.env;
  if (!file || !key) throw new Error("FLEXCORE_KEY=... node mirror_log.js <file>");
  const client = connect(address ?? "127.0.0.1:7700");
  let failures = 0;
  for (;;) {
    try {
      await mirror(client, key, path.resolve(file), () => (failures = 0));
    } catch (error) {
      recover(error, file);
    }
    const most = Math.min(BACKOFF_MS * 2 ** Math.min(failures, 10), BACKOFF_MS_MAX);
    await wait(most * Math.random());
    failures += 1;
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
