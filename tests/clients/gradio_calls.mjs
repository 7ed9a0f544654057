// gradio's client for JavaScript against a farm: node gradio_calls.mjs URL PICTURE. Prints what it got as JSON.
import { readFile } from "node:fs/promises";
import { Client, handle_file } from "@gradio/client";

const [url, picture] = process.argv.slice(2);
const few = { total_second_length: 1, latent_window_size: 4, steps: 1 };

const client = await Client.connect(url);
const { data } = await client.predict("/process", { input_image: handle_file(picture), prompt: "in JavaScript", ...few });
const video = await (await fetch(data[0].video.url)).arrayBuffer();

const forks = await Client.connect(`${url}/nirvash`);
const blob = new Blob([await readFile(picture)]);
const values = [blob, blob, "by position", "", 7, 1, 9, 1, 1, 10, 0, 6, true, false, false];
const yields = [];
for await (const message of forks.submit("/process", values)) {
  if (message.type === "data") yields.push(message.data);
}
const refused = await client.predict("/process", { input_image: null }).catch((err) => err);
const ended = await client.predict("/end_process", {});

const job = client.submit("/process", { input_image: handle_file(picture), prompt: "cancelled", total_second_length: 120 });
const id = await job.wait_for_id();
await job.cancel();
console.log(JSON.stringify({
  outputs: data, bytes: video.byteLength, yields: yields, refused: refused.message, ended: ended.data, cancelled: id,
}));
process.exit(0); // the client keeps its stream
