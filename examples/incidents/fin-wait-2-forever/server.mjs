// A server that answers and ends the connection. With GRACE it destroys the socket when
// the peer's end has not come so many milliseconds later.
import net from 'node:net';

const grace = Number(process.env.GRACE);

net.createServer((socket) => {
  socket.once('data', () => {
    socket.end('goodbye');
    if (grace) {
      const timer = setTimeout(() => socket.destroy(), grace);
      socket.on('close', () => clearTimeout(timer));
    }
  });
}).listen(8080);
