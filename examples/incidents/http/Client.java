// HttpURLConnection in the matrix of clients; see the README beside.
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URL;

class Client {
    static HttpURLConnection open(String path) throws IOException {
        return (HttpURLConnection) new URL("http", System.getenv("SERVER"), 8080, path).openConnection();
    }

    /** The status, or the error as a text. */
    static String send(String method, int n) {
        try {
            HttpURLConnection request = open("/");
            request.setRequestMethod(method);
            if (System.getenv("KEY") != null) {
                request.setRequestProperty("Idempotency-Key", method + n);
            }
            if (method.equals("POST")) {
                request.setDoOutput(true);
                request.getOutputStream().write("work".getBytes());
            }
            request.getInputStream().readAllBytes();
            return "" + request.getResponseCode();
        } catch (IOException e) {
            return e.toString();
        }
    }

    public static void main(String[] methods) throws Exception {
        String pause = System.getenv().getOrDefault("PAUSE", "0");
        for (String method : methods) {
            System.out.println(method + " 1: " + send(method, 1));
            Thread.sleep(Integer.parseInt(pause) * 1000);
            System.out.println(method + " 2: " + send(method, 2));
        }
        System.out.print(new String(open("/executed").getInputStream().readAllBytes()));
    }
}
