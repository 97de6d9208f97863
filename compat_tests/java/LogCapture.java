package compat;

import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Property;

/** Keeps what the clients log as WARN or worse until it is taken; everything also goes to standard error. */
final class LogCapture extends AbstractAppender {
    private final List<String> lines = new ArrayList<>();

    private LogCapture() {
        super("capture", null, null, true, Property.EMPTY_ARRAY);
    }

    static LogCapture install() {
        LogCapture capture = new LogCapture();
        capture.start();
        LoggerContext context = (LoggerContext) LogManager.getContext(false);
        context.getConfiguration().addAppender(capture);
        context.getConfiguration().getRootLogger().addAppender(capture, Level.WARN, null);
        context.updateLoggers();
        return capture;
    }

    @Override
    public void append(LogEvent event) {
        StringBuilder line = new StringBuilder();
        line.append(event.getLevel()).append(' ').append(event.getLoggerName()).append(": ");
        line.append(event.getMessage().getFormattedMessage());
        if (event.getThrown() != null) {
            line.append(" | ").append(event.getThrown());
        }
        synchronized (lines) {
            lines.add(line.toString());
        }
    }

    /** The lines since the last call. */
    List<String> take() {
        synchronized (lines) {
            List<String> taken = new ArrayList<>(lines);
            lines.clear();
            return taken;
        }
    }

    /** Writes a line between the clients' in standard error, so that a person finds the test in it. */
    Object mark(String text) {
        System.err.println("---- " + text);
        return null;
    }
}
