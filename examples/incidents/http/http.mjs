// Node's http with a keep-alive agent in the matrix of clients; see the README beside.
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { SERVER: host, PAUSE = 0, KEY } = process.env;

// The status, or the error as a text. What has a key is repeated where Node says that the
// connection was an old one: https://nodejs.org/api/http.html#requestreusedsocket
function send(agent, method, n, path = '/') {
  return new Promise((resolve) => {
    const headers = KEY ? { 'Idempotency-Key': method + n } : {};
    const request = http.request({ host, port: 8080, path, agent, method, headers }, async (answer) => {
      resolve([answer.statusCode, (await answer.toArray()).join('')]);
    });
    request.on('error', (error) => {
      if (KEY && request.reusedSocket) resolve(send(agent, method, n, path));
      else resolve([`${error.code} reusedSocket=${request.reusedSocket}`]);
    });
    request.end(method === 'POST' ? 'work' : undefined);
  });
}

for (const method of process.argv.slice(2)) {
  const agent = new http.Agent({ keepAlive: true });
  console.log(`${method} 1: ${(await send(agent, method, 1))[0]}`);
  await sleep(PAUSE * 1000);
  console.log(`${method} 2: ${(await send(agent, method, 2))[0]}`);
  agent.destroy();
}
console.log((await send(undefined, 'GET', 0, '/executed'))[1].trim());
