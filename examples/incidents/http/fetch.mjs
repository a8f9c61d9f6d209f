// Node's fetch in the matrix of clients; see the README beside.
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { SERVER, PAUSE = 0, KEY } = process.env;
const server = `http://${SERVER.includes(':') ? `[${SERVER}]` : SERVER}:8080`;

// The status, or the error as a text. What has a key is repeated: fetch itself does not.
async function send(method, n, again = KEY) {
  const headers = KEY ? { 'Idempotency-Key': method + n } : {};
  try {
    const answer = await fetch(server, { method, headers, body: method === 'POST' ? 'work' : undefined });
    await answer.text();
    return answer.status;
  } catch (error) {
    return again ? send(method, n, false) : `${error.message}: ${error.cause.code}`;
  }
}

for (const method of process.argv.slice(2)) {
  console.log(`${method} 1: ${await send(method, 1)}`);
  await sleep(PAUSE * 1000);
  console.log(`${method} 2: ${await send(method, 2)}`);
}
// By another library: fetch may have more dead connections in its pool.
get(`${server}/executed`, async (answer) => console.log((await answer.toArray()).join('').trim()));
