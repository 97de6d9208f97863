import java.lang.reflect.Method;
import java.util.Optional;

/**
 * Prints what a broker of one release advertises on a client's listener: a line `key name first last` for each API.
 * Works with every kafka-clients jar since 0.11: what a release does not have is asked for by reflection.
 * Argument: zkBroker or broker, the kind of listener (looked at from 2.8 on, where APIs say on which they are).
 */
public final class ApiTable {
    public static void main(String[] args) throws Exception {
        Class<?> keys = Class.forName("org.apache.kafka.common.protocol.ApiKeys");
        for (Object key : keys.getEnumConstants()) {
            if (!isOn(keys, key, args[0]) || !isEnabled(keys, key)) {
                continue;
            }
            short first = (Short) keys.getMethod("oldestVersion").invoke(key);
            short last = (Short) keys.getMethod("latestVersion").invoke(key);
            Method advertised = method(keys, "toApiVersion", boolean.class);
            if (advertised != null) {
                Optional<?> stable = (Optional<?>) advertised.invoke(key, false);
                if (stable.isEmpty()) {
                    continue;
                }
                first = (Short) stable.get().getClass().getMethod("minVersion").invoke(stable.get());
                last = (Short) stable.get().getClass().getMethod("maxVersion").invoke(stable.get());
            }
            System.out.println(keys.getField("id").get(key) + " " + ((Enum<?>) key).name() + " " + first + " " + last);
        }
    }

    /** Whether the API is on the listener; every one is where the release has no kinds of listeners. */
    private static boolean isOn(Class<?> keys, Object key, String kind) throws Exception {
        Class<?> types;
        try {
            types = Class.forName("org.apache.kafka.common.message.ApiMessageType$ListenerType");
        } catch (ClassNotFoundException e) {
            return true;
        }
        for (Object type : types.getEnumConstants()) {
            String name = ((Enum<?>) type).name();
            if (name.equals(kind.equals("zkBroker") ? "ZK_BROKER" : "BROKER")) {
                return (Boolean) keys.getMethod("inScope", types).invoke(key, type);
            }
        }
        throw new IllegalArgumentException("this release has no listener of the kind " + kind);
    }

    /** 2.7 knows the APIs of the quorum, and advertises them to nobody. */
    private static boolean isEnabled(Class<?> keys, Object key) throws Exception {
        try {
            return keys.getField("isEnabled").getBoolean(key);
        } catch (NoSuchFieldException e) {
            return true;
        }
    }

    private static Method method(Class<?> owner, String name, Class<?>... parameters) {
        try {
            return owner.getMethod(name, parameters);
        } catch (NoSuchMethodException e) {
            return null;
        }
    }
}
