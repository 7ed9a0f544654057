// OpenAI's package for Node against a farm: node openai_videos.mjs URL PICTURE. Prints what it got as JSON.
import { createReadStream } from "node:fs";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";

const [url, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const few = { size: "64x64", seconds: "1", num_inference_steps: 1, latent_window_size: 2, seed: 7 };

async function ended(video) {
  while (video.status === "queued" || video.status === "in_progress") {
    await setTimeout(100);
    video = await client.videos.retrieve(video.id);
  }
  return video;
}

const asked = { prompt: "a cat", input_reference: createReadStream(picture), ...few };
const video = await ended(await client.videos.create(asked));
const content = Buffer.from(await (await client.videos.downloadContent(video.id)).arrayBuffer());
const remix = await ended(await client.videos.remix(video.id, { prompt: "a dog" }));
const listed = [];
for await (const each of client.videos.list({ limit: 1 })) listed.push(each.id);
const refused = await client.videos.create({ ...asked, input_reference: undefined, seconds: "1000" }).catch((err) => err);
const deleted = [];
for (const each of [remix, video]) deleted.push((await client.videos.delete(each.id)).deleted);
const gone = await client.videos.retrieve(video.id).catch((err) => err);
const errors = [refused, gone].map((err) => [err.constructor.name, err.code, err.param]);
console.log(JSON.stringify({ video, remix, listed, errors, deleted, content: content.toString("base64") }));
