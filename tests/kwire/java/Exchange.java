// Reads messages with Kafka's generated classes and writes them again, one line in, one line out.
//
// In:  {"class": ..., "version": ..., "json": ..., "bytes": base64}; "bytes" may be missing.
// Out: base64 of what the class writes when filled from the JSON, a space, and of what it writes when read from the
//      bytes ("-" without); or "error: ...".

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.Readable;

public class Exchange {
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        String line;
        while ((line = in.readLine()) != null) {
            out.println(answer(mapper.readTree(line)));
        }
        out.flush();
    }

    private static String answer(JsonNode given) {
        try {
            String name = given.get("class").asText();
            short version = (short) given.get("version").asInt();
            Message filled = (Message) Class.forName(name + "JsonConverter")
                .getMethod("read", JsonNode.class, short.class)
                .invoke(null, given.get("json"), version);
            String answer = write(filled, version);
            if (!given.has("bytes")) {
                return answer + " -";
            }
            ByteBuffer bytes = ByteBuffer.wrap(Base64.getDecoder().decode(given.get("bytes").asText()));
            Message read = (Message) Class.forName(name)
                .getConstructor(Readable.class, short.class)
                .newInstance(new ByteBufferAccessor(bytes), version);
            if (bytes.hasRemaining()) {
                return "error: " + bytes.remaining() + " bytes left";
            }
            return answer + " " + write(read, version);
        } catch (InvocationTargetException error) {
            return "error: " + error.getCause();
        } catch (Exception error) {
            return "error: " + error;
        }
    }

    private static String write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(bytes), cache, version);
        if (bytes.hasRemaining()) {
            throw new IllegalStateException(bytes.remaining() + " bytes fewer than announced");
        }
        return Base64.getEncoder().encodeToString(bytes.array());
    }
}
