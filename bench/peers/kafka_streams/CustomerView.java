import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The customer view as the guide of Kafka Streams builds one: group by key, aggregate, process.
 *
 * <p>The topic is keyed by customer already, so nothing is grouped anew. The store is the default
 * one with its cache, which hands a row that changes often on once a commit, every second; a
 * processor writes the last state of every row by JDBC batches. As many threads as cores.
 */
public class CustomerView {
    static final int ROWS = 5_000;
    static final ObjectMapper JSON = new ObjectMapper();
    static final String CONTACT = "interaction.recorded.v1";
    static final String PURCHASE = "customer.purchase_recorded.v1";
    static final Set<String> WANTED = Set.of(CONTACT, PURCHASE);
    static final String UPSERT =
            "INSERT INTO public.peer_customer_view (key, interactions, channels, purchases, items,"
                    + " revenue, last_contact_at, last_purchase_at)"
                    + " VALUES (?, ?, ?::jsonb, ?, ?, ?::jsonb, ?::timestamptz, ?::timestamptz)"
                    + " ON CONFLICT (key) DO UPDATE SET interactions = excluded.interactions,"
                    + " channels = excluded.channels, purchases = excluded.purchases,"
                    + " items = excluded.items, revenue = excluded.revenue,"
                    + " last_contact_at = excluded.last_contact_at,"
                    + " last_purchase_at = excluded.last_purchase_at";

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(String type, String time, Data data) {}

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Data(String channel, Money amount) {}

    record Money(long amount, String currency) {}

    /** The row of one customer. */
    record Row(
            long interactions,
            Map<String, Long> channels,
            long purchases,
            long items,
            Map<String, Long> revenue,
            String lastContactAt,
            String lastPurchaseAt) {

        static Row fresh() {
            return new Row(0, new HashMap<>(), 0, 0, new HashMap<>(), "-infinity", "-infinity");
        }

        Row after(Event event) {
            String contact = later(lastContactAt, event.time);
            if (event.type.equals(CONTACT)) {
                channels.merge(event.data.channel, 1L, Long::sum);
                return new Row(
                        interactions + 1, channels, purchases, items, revenue, contact,
                        lastPurchaseAt);
            }
            revenue.merge(event.data.amount.currency, event.data.amount.amount, Long::sum);
            return new Row(
                    interactions, channels, purchases + 1, items + 1, revenue, contact,
                    later(lastPurchaseAt, event.time));
        }
    }

    static String later(String one, String other) {
        return one.compareTo(other) > 0 ? one : other;
    }

    /** Writes the last state of rows, those of some time at once. */
    static class Writer implements Processor<String, Row, Void, Void> {
        private final String url;
        private final Map<String, Row> changed = new HashMap<>();
        private Connection conn;
        private PreparedStatement upsert;

        Writer(String url) {
            this.url = url;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            try {
                conn = DriverManager.getConnection(url);
                conn.setAutoCommit(false);
                upsert = conn.prepareStatement(UPSERT);
            } catch (SQLException error) {
                throw new IllegalStateException(error);
            }
            context.schedule(
                    Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, now -> write());
        }

        @Override
        public void process(Record<String, Row> record) {
            changed.put(record.key(), record.value());
            if (changed.size() >= ROWS) {
                write();
            }
        }

        @Override
        public void close() {
            write();
        }

        private void write() {
            try {
                for (Map.Entry<String, Row> each : changed.entrySet()) {
                    Row row = each.getValue();
                    upsert.setString(1, each.getKey());
                    upsert.setLong(2, row.interactions);
                    upsert.setString(3, JSON.writeValueAsString(row.channels));
                    upsert.setLong(4, row.purchases);
                    upsert.setLong(5, row.items);
                    upsert.setString(6, JSON.writeValueAsString(row.revenue));
                    upsert.setString(7, row.lastContactAt);
                    upsert.setString(8, row.lastPurchaseAt);
                    upsert.addBatch();
                }
                upsert.executeBatch();
                conn.commit();
            } catch (SQLException | IOException error) {
                throw new IllegalStateException(error);
            }
            changed.clear();
        }
    }

    static <T> Serde<T> json(Class<T> kind) {
        return Serdes.serdeFrom(
                (topic, value) -> {
                    try {
                        return value == null ? null : JSON.writeValueAsBytes(value);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return bytes == null ? null : JSON.readValue(bytes, kind);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                });
    }

    static Properties settings(String bootstrap) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams-" + ProcessHandle.current().pid());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, "state");
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
        settings.put(
                StreamsConfig.NUM_STREAM_THREADS_CONFIG,
                Runtime.getRuntime().availableProcessors());
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    /** A host that is a directory is that of a Unix socket. */
    static String url(String host, String port, String database, String user) {
        String url =
                "jdbc:postgresql://%s:%s/%s?user=%s&reWriteBatchedInserts=true&password="
                        + System.getenv("PGPASSWORD");
        if (!host.startsWith("/")) {
            return url.formatted(host, port, database, user);
        }
        return url.formatted("localhost", port, database, user)
                + "&socketFactory=org.newsclub.net.unix.AFUNIXSocketFactory$FactoryArg"
                + "&socketFactoryArg=" + host + "/.s.PGSQL." + port;
    }

    public static void main(String[] arguments) {
        String url = url(arguments[2], arguments[3], arguments[4], arguments[5]);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[1], Consumed.with(Serdes.String(), json(Event.class)))
                .filter((subject, event) -> WANTED.contains(event.type))
                .groupByKey(Grouped.with(Serdes.String(), json(Event.class)))
                .aggregate(
                        Row::fresh,
                        (subject, event, row) -> row.after(event),
                        Materialized.<String, Row, KeyValueStore<Bytes, byte[]>>as("rows")
                                .withKeySerde(Serdes.String())
                                .withValueSerde(json(Row.class)))
                .toStream()
                .process(() -> new Writer(url));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(arguments[0]));
        System.out.println("ready");
        streams.start();
    }
}
