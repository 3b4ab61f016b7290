// idempot-js as a proxy: its middleware for Fastify on Redis, in front of a handler that passes the request on over kept connections.
//
// Settings, and why:
// - One process per worker of Refrain (`WORKERS`), by node's cluster: Fastify itself uses one core.
// - No logs; bodies as text, which spares the middleware a parse and a print, and is what is passed on; undici's pool with as many
//   connections as it wants.
// - ioredis' `enableAutoPipelining`: commands of one turn go out together.
// - The store may take ten seconds instead of half a one: under 64 cold connections the circuit breaker opens otherwise, and everything is
//   answered 503 for the next 30 s, which would be no figure at all. Everything else of idempot-js is at its defaults: a key is wanted,
//   records live for a day.
import cluster from "node:cluster";
import { idempotency } from "@idempot/fastify-middleware";
import { RedisIdempotencyStore } from "@idempot/redis-store";
import Fastify from "fastify";
import Redis from "ioredis";
import { Pool } from "undici";

const { LISTEN, ORIGIN, REDIS, WORKERS } = process.env;

async function serve() {
  const [host, port] = LISTEN.split(":");
  const [redisHost, redisPort] = REDIS.split(":");
  const client = new Redis({ host: redisHost, port: Number(redisPort), enableAutoPipelining: true });
  const store = new RedisIdempotencyStore({ client });
  const origin = new Pool(ORIGIN);
  const app = Fastify({ logger: false, bodyLimit: 8 * 1024 * 1024 });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
  app.post("/*", { preHandler: idempotency({ store, resilience: { timeoutMs: 10_000 } }) }, async (request, reply) => {
    const answer = await origin.request({
      method: "POST",
      path: request.url,
      headers: { "content-type": request.headers["content-type"] },
      body: request.body,
    });
    reply.code(answer.statusCode).header("content-type", answer.headers["content-type"]);
    return answer.body.text();
  });
  app.get("/.ready", async () => "ready");
  await app.listen({ host, port: Number(port) });
}

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork();
  cluster.on("exit", () => process.exit(1));
} else {
  await serve();
}
