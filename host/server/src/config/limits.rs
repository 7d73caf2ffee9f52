//! All limits, each declared once.
//!
//! A declaration has the limit's name and type, its default and range, its unit, what it bounds (the doc comment) and
//! what happens beyond it. The macro makes from it the field, its default, and the [`Fact`] from which the
//! configuration file, the checks and `landfall config` are made. So all of them always agree.

use serde::{Deserialize, Serialize};

/// The description of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Its table in `landfall.toml`.
    pub table: &'static str,
    /// Its key in the table.
    pub key: &'static str,
    /// Its default.
    pub default: u64,
    /// The lowest value that is accepted.
    pub lowest: u64,
    /// The highest value that is accepted.
    pub highest: u64,
    /// The unit of the value.
    pub unit: &'static str,
    /// What it bounds.
    pub bounds: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
}

/// Declares tables of limits.
macro_rules! limits {
    ($(
        $(#[doc = $about:literal])*
        $name:ident in $table:literal {
            $( $(#[doc = $bounds:literal])* $key:ident: $type:ty = $default:literal, $lowest:literal to $highest:literal,
                $unit:literal, $beyond:literal; )*
        }
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $bounds])* pub $key: $type, )*
        }

        impl $name {
            /// Its table in `landfall.toml`.
            pub const TABLE: &'static str = $table;

            /// What the table's limits are about.
            pub const ABOUT: &'static str = concat!($($about),*);

            /// Its limits, in the order of the file.
            pub const FACTS: &'static [Fact] = &[$( Fact {
                table: $table,
                key: stringify!($key),
                default: $default,
                lowest: $lowest,
                highest: $highest,
                unit: $unit,
                bounds: concat!($($bounds),*),
                beyond: $beyond,
            } ),*];

            /// Its limits with their current values.
            pub fn in_force(&self) -> Vec<(&'static Fact, u64)> {
                let values = [$( u64::try_from(self.$key).unwrap_or(u64::MAX) ),*];
                Self::FACTS.iter().zip(values).collect()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default ),* }
            }
        }
    )*};
}

limits! {
    /// How certificates are judged.
    CertificateRules in "certificates" {
        /// How much later than now a certificate may begin, for clocks that are not quite right. Its end is never stretched; that of a symmetric key's token is, by as much.
        clock_skew_minutes: u64 = 5, 0 to 1440, "minutes", "the device is refused: its certificate is not valid yet";
        /// How long a revocation list counts after its next one was due.
        stale_crl_hours: u64 = 72, 0 to 87_600, "hours", "the authority's devices are refused until the next list is there";
    }

    /// The connections of each of the two listeners.
    ListenerLimits in "limits.listener" {
        /// The time that a client has for its part of a TLS handshake. What waits here for the processor does not count.
        handshake_seconds: u64 = 5, 1 to 300, "seconds", "the connection is closed";
        /// Handshakes that wait for the processor, for each core of the machine. Networks take turns.
        handshakes_per_core: usize = 8_192, 1 to 1_000_000, "handshakes",
            "the network with the most of them loses its newest connections";
        /// The time for the head of a connection's first request.
        header_seconds: u64 = 5, 1 to 300, "seconds", "the connection is closed";
        /// The size of the head of a request.
        header_bytes: usize = 32_768, 8_192 to 1_048_576, "bytes", "431, and the connection is closed";
        /// The header lines of a request.
        headers: usize = 64, 8 to 1_000, "lines", "431, and the connection is closed";
        /// The time from the end of a request until the next one's head is there.
        idle_seconds: u64 = 30, 1 to 3_600, "seconds", "the connection is closed";
        /// The requests of one connection.
        requests_per_connection: usize = 1_000, 1 to 1_000_000, "requests", "the connection is closed after the last";
        /// The age of a connection.
        connection_minutes: u64 = 10, 1 to 1_440, "minutes",
            "the request under way is finished (an import, however long it takes) and the connection closed";
        /// Connections from one network: an IPv4 /24 or an IPv6 /56. A plant may have all its devices behind one router.
        connections_per_prefix: usize = 6_000, 1 to 1_000_000, "connections",
            "the oldest one that has proven nothing for some seconds makes room; where there is none, 503 with Retry-After";
        /// Connections in all.
        connections: usize = 20_000, 1 to 1_000_000, "connections", "as for those from one network";
        /// The time that requests under way have when the server stops.
        drain_seconds: u64 = 10, 0 to 600, "seconds", "what is left is cut";
    }

    /// What devices may ask.
    DeviceLimits in "limits.device" {
        /// Registrations that are being decided.
        max_operations: usize = 10_000, 1 to 1_000_000, "registrations", "503 with Retry-After";
        /// What devices said that wait for a decision: the sum of their payloads and certificate requests.
        waiting_bytes: usize = 67_108_864, 1_048_576 to 68_719_476_736, "bytes",
            "what those said that have waited longest is read from the ledger when they poll";
        /// How long a device is told to wait before it asks again.
        poll_seconds: u64 = 2, 1 to 3_600, "seconds", "nothing; it is what Retry-After says";
        /// How long a device that asks for it (`Prefer: wait`) is kept waiting for its result.
        max_wait_seconds: u64 = 30, 0 to 300, "seconds", "202 with Retry-After, as if it had not asked";
        /// How far ahead the end of a token may lie that a symmetric key has signed (`se`). One without an end that anybody
        /// lives to see is a password in every log that it stands in.
        shared_key_token_days: u64 = 3_660, 1 to 36_600, "days", "the device is refused";
        /// How long a TPM's challenge can be answered, and the answer be used for polls.
        challenge_seconds: u64 = 300, 10 to 3_600, "seconds", "the device is challenged anew";
        /// How long the keys of an identity provider are used that cannot be read again.
        issuer_keys_hours: u64 = 24, 1 to 720, "hours", "its tokens are refused until it answers";
        /// Passwords that wait to be tried, which takes a core each. Addresses take turns.
        max_passwords_waiting: usize = 256, 1 to 1_000_000, "passwords",
            "503 with Retry-After, to the newest of the address that has the most of them";
        /// Tokens that wait to be tried with the keys of many groups. Addresses take turns.
        max_tokens_waiting: usize = 1_024, 1 to 1_000_000, "tokens",
            "503 with Retry-After, to the newest of the address that has the most of them";
        /// Challenges that are out.
        max_challenges: usize = 10_000, 1 to 1_000_000, "challenges", "503 with Retry-After";
        /// Levels of arrays and objects in a body.
        json_depth: usize = 32, 2 to 128, "levels", "400";
        /// The size of a body. DPS takes messages of 96 KiB.
        max_body_bytes: usize = 98_304, 1_024 to 1_048_576, "bytes", "413";
        /// The time for a body.
        body_seconds: u64 = 10, 1 to 300, "seconds", "408, and the connection is closed";
        /// Answers that tell neither a result nor a refusal (400, 404, 429 and their like), kept in memory so that
        /// `landfall decision show` tells why: so many of devices that were admitted, and as many of all others.
        answers_kept: usize = 4_096, 0 to 1_000_000, "answers", "the network with the most of them loses its oldest";
    }

    /// How often devices may ask. What asks more often is told 429 and when to come again; nothing is verified for it.
    ThrottleLimits in "limits.throttle" {
        /// The requests of one address (IPv6: of one /64) that are taken in the long run; 0 for any number.
        address_per_second: u32 = 200, 0 to 1_000_000, "requests a second", "429 with Retry-After";
        /// The requests of one address that are taken at once: a plant of 5,000 devices that comes back to power behind one
        /// router, each with its registration and a few polls.
        address_burst: u32 = 20_000, 1 to 1_000_000, "requests", "429 with Retry-After";
        /// The requests for one registration id, from one address, that are taken in the long run; 0 for any number.
        device_per_minute: u32 = 60, 0 to 1_000_000, "requests a minute", "429 with Retry-After";
        /// The requests for one registration id, from one address, that are taken at once.
        device_burst: u32 = 60, 1 to 1_000_000, "requests", "429 with Retry-After";
        /// The passwords that one address tries for one account in the long run; 0 for any number.
        password_per_minute: u32 = 10, 0 to 1_000_000, "attempts a minute", "429 with Retry-After";
        /// The passwords that one address tries for one account at once.
        password_burst: u32 = 10, 1 to 1_000_000, "attempts", "429 with Retry-After";
        /// The passwords that one address tries for all accounts; 0 for any number.
        password_address_per_minute: u32 = 120, 0 to 1_000_000, "attempts a minute", "429 with Retry-After";
        /// The passwords that all addresses together try for one account; 0 for any number. Strangers can use it up, and the
        /// account's device then waits, unless it was let in a moment ago.
        password_account_per_minute: u32 = 200, 0 to 1_000_000, "attempts a minute", "429 with Retry-After";
        /// The refusals of strangers (no usable credential, or none that an enrollment knows) that the ledger keeps in the
        /// long run; 0 for any number. Without a limit they would push out the refusals that matter.
        strangers_kept_per_minute: u32 = 300, 0 to 1_000_000, "refusals a minute",
            "the refusal is counted in the metrics, and the log says some of them";
        /// Those of one address among them; 0 for any number. Nobody hides another's refusals.
        strangers_kept_per_address_per_minute: u32 = 15, 0 to 1_000_000, "refusals a minute",
            "the refusal is counted in the metrics, and the log says some of them";
        /// The requests to one id scope that are taken in the long run; 0 for any number. Strangers can use it up: it is
        /// for keeping tenants apart, not for keeping strangers away.
        scope_per_second: u32 = 0, 0 to 1_000_000, "requests a second", "429 with Retry-After";
        /// The requests to one id scope that are taken at once.
        scope_burst: u32 = 5_000, 1 to 1_000_000, "requests", "429 with Retry-After";
    }

    /// What the management API takes.
    ManagementLimits in "limits.management" {
        /// The size of a body, imports and components apart.
        body_bytes: usize = 1_048_576, 4_096 to 67_108_864, "bytes", "413";
        /// The time for a body; for an import the time between two parts of it.
        body_seconds: u64 = 30, 1 to 3_600, "seconds", "408, and the connection is closed";
        /// The items of one page of a list.
        page_items: usize = 1_000, 1 to 10_000, "items", "a page has this many, and `next` leads to the following";
        /// The size of one row of an import.
        import_row_bytes: usize = 4_096, 256 to 1_048_576, "bytes", "the row is refused, the others are taken";
        /// The refused rows of an import that are listed in its answer.
        import_problems: usize = 1_000, 0 to 100_000, "rows", "further ones are counted in `errorsNotListed`";
        /// The rows of an import that one transaction takes.
        import_batch_rows: usize = 5_000, 1 to 100_000, "rows", "the next transaction takes the rest";
        /// The size of an all-or-nothing import, which is kept on disk until its last row has been read.
        import_staged_bytes: u64 = 1_073_741_824, 1_048_576 to 1_099_511_627_776, "bytes",
            "413, and nothing is imported";
        /// The rows of an all-or-nothing import, which is written in one transaction: nobody else writes meanwhile, for
        /// some seconds with a million rows.
        import_whole_rows: u64 = 1_000_000, 1 to 100_000_000, "rows", "nothing is imported; cut the file in parts";
        /// Imports at once.
        imports: usize = 4, 1 to 64, "imports", "429 with Retry-After";
        /// Publications of plugins at once; each holds its component in memory. A token has half of them at most, as with imports.
        publications: usize = 8, 1 to 256, "publications", "429 with Retry-After";
        /// The rows of one import.
        import_rows: u64 = 10_000_000, 1 to 1_000_000_000, "rows", "the import stops there and says so";
        /// The facts of one manufacturing record.
        facts: usize = 64, 0 to 1_024, "facts", "the row is refused, the others are taken";
        /// The length of a fact's name.
        fact_name_bytes: usize = 64, 1 to 256, "bytes", "the row is refused, the others are taken";
        /// The length of a fact.
        fact_bytes: usize = 512, 1 to 65_536, "bytes", "the row is refused, the others are taken";
        /// The plugins of one id scope.
        plugins: usize = 256, 8 to 100_000, "plugins", "409; one has to be taken away first";
        /// What the revisions of one id scope's plugins take: the live ones, and the earlier ones that may become it again. A
        /// plugin's own oldest revisions make room for its next.
        plugins_mib: u64 = 1_024, 16 to 1_048_576, "MiB", "409; a plugin has to be taken away first";
        /// The size of a plugin's component.
        component_bytes: usize = 33_554_432, 65_536 to 268_435_456, "bytes", "413";
    }

    /// The database.
    StoreLimits in "limits.store" {
        /// Writes of devices that wait for a transaction. Those of operators wait in a queue of their own.
        device_queue: usize = 4_096, 1 to 1_000_000, "writes", "503 with Retry-After";
        /// Batches of imports that wait for a transaction.
        bulk_queue: usize = 64, 1 to 10_000, "batches", "the import waits";
        /// Writes that go into one transaction.
        batch_writes: usize = 512, 1 to 100_000, "writes", "the next transaction takes the rest";
        /// About how much goes into one transaction.
        batch_kib: usize = 256, 16 to 65_536, "KiB", "the next transaction takes the rest";
        /// Refusals and postponements that are kept in the ledger.
        refusals_kept: u64 = 100_000, 1_000 to 1_000_000_000, "entries", "the oldest ones are forgotten";
        /// Enrollment groups of one id scope. A token that a symmetric key has signed names no group, and is tried with the keys of
        /// all of them.
        groups_per_scope: u64 = 2_000, 1 to 100_000, "groups", "409: those that are there stay, and no other is made";
        /// Decisions of one device that are kept beside the one that it rests on.
        decisions_per_device: usize = 32, 0 to 100_000, "decisions", "the oldest ones are forgotten";
        /// Room that is left on the disk. Devices and people still write down to a quarter of it; 0 for no such limit.
        reserve_mib: u64 = 256, 0 to 1_048_576, "MiB", "imports are answered 507, devices 503, until there is room again";
        /// How much of the database is held in memory.
        cache_mib: usize = 128, 8 to 1_048_576, "MiB", "the rest is read from disk";
    }

    /// What policies may use. A policy that goes beyond delays its device, and the operator is told why.
    PolicyLimits in "limits.policy" {
        /// Threads that run policies; 0 for as many as the machine has cores.
        workers: usize = 0, 0 to 1_024, "threads", "further calls wait";
        /// Calls that wait, for each thread.
        queue_per_worker: usize = 128, 1 to 100_000, "calls", "the device waits and asks again";
        /// Policies with their settings that are held ready.
        max_images: usize = 256, 1 to 100_000, "images", "the one unused for longest is made anew when it is needed";
        /// How much compiled policies take on disk.
        cache_mib: u64 = 1_024, 16 to 1_048_576, "MiB", "the ones unused for longest are compiled anew when needed";
        /// Work of one call: about one unit a Wasm instruction, the same on every machine.
        fuel: u64 = 50_000_000, 1_000 to 1_000_000_000_000, "units", "the call ends with `out-of-fuel`";
        /// `fuel` and `deadline_ms` are for so many hubs; a call that is shown more gets as many times as much.
        fuel_hubs: u32 = 64, 1 to 4_294_967_295, "hubs", "nothing; it is what `fuel` is for";
        /// CPU time of one call.
        deadline_ms: u32 = 25, 1 to 60_000, "milliseconds", "the call ends with `timeout`";
        /// Each linear memory of a policy.
        memory_mib: usize = 16, 1 to 64, "MiB", "the call ends with `memory`";
        /// Each table of a policy.
        table_elements: usize = 20_000, 1 to 20_000, "elements", "the call ends with `memory`";
        /// The texts of an answer.
        output_kib: usize = 64, 1 to 1_024, "KiB", "the call ends with `output`";
        /// The log of one call, in size.
        log_kib: usize = 8, 0 to 1_024, "KiB", "further lines are counted and dropped";
        /// The log of one call, in lines.
        log_lines: usize = 64, 0 to 10_000, "lines", "further lines are counted and dropped";
        /// Devices for which the calls of one revision broke, one after the other; four times as many when as many calls
        /// were good lately.
        breaker_failures: u32 = 5, 1 to 1_000_000, "devices", "its breaker opens: its calls are skipped, and its resorts are asked";
        /// The time over which the share of good calls is taken.
        breaker_window_seconds: u64 = 30, 1 to 3_600, "seconds", "what is older does not count";
        /// Calls in that time from which the share counts.
        breaker_least_calls: u32 = 20, 1 to 1_000_000, "calls", "nothing; with fewer the share says nothing";
        /// The least share of calls in that time that did not break.
        breaker_success_percent: u32 = 50, 0 to 100, "percent", "its breaker opens";
        /// How long a breaker is open at first, at most; it doubles while the policy breaks again.
        breaker_open_ms: u64 = 1_000, 1 to 3_600_000, "milliseconds", "one call is tried";
        /// How long a breaker is open at most, and how long a device that broke the policy again and again is left alone.
        breaker_open_max_seconds: u64 = 60, 1 to 86_400, "seconds", "one call is tried";
        /// Calls from a policy into the host, in one call of the policy.
        host_calls: u32 = 10_000, 1 to 1_000_000, "calls", "the call ends with `host-calls`";
        /// Fuel that each call into the host costs.
        host_call_fuel: u64 = 1_000, 0 to 1_000_000, "units", "nothing; it is taken from `fuel`";
        /// What the host copies out of a policy at once.
        host_call_kib: usize = 1_024, 1 to 16_384, "KiB", "the call ends with `output`";
        /// What the catalogue told a policy, kept with the decision.
        transcript_kib: usize = 64, 0 to 1_024, "KiB", "the call ends with `host-calls`";
        /// Work of loading a policy and giving it its settings.
        configure_fuel: u64 = 5_000_000_000, 1_000 to 1_000_000_000_000, "units", "the plugin or its settings are refused";
        /// CPU time of loading a policy and giving it its settings.
        configure_deadline_ms: u32 = 10_000, 1 to 600_000, "milliseconds", "the plugin or its settings are refused";
        /// The size of a component whose settings are baked into its memory, which compiles all of it for each settings.
        baked_component_kib: usize = 4_096, 0 to 262_144, "KiB", "the policy is given its settings before each call";
        /// CPU time of compiling a component. An interpreter takes half a minute.
        compile_cpu_seconds: u64 = 180, 1 to 3_600, "seconds", "the plugin is refused";
        /// Time of compiling a component.
        compile_wall_seconds: u64 = 300, 1 to 3_600, "seconds", "the plugin is refused";
        /// Memory of compiling a component.
        compile_memory_mib: u64 = 2_048, 128 to 65_536, "MiB", "the plugin is refused";
    }

    /// What policies may use of the network that `[policy.http.plugins.NAME]` grants them. One that goes beyond delays its device.
    HttpLimits in "limits.http" {
        /// Threads that run policies which may wait for a service. One plugin has at most half of them, one id scope two thirds.
        workers: usize = 32, 1 to 1_024, "threads", "further calls wait";
        /// Calls that wait for one of those threads.
        queue: usize = 256, 1 to 100_000, "calls", "the device waits and asks again";
        /// The requests of one call.
        requests: u32 = 4, 1 to 100, "requests", "the call ends with `http-requests`";
        /// What one call sends, bodies and headers together.
        request_kib: usize = 192, 1 to 1_024, "KiB", "the call ends with `http-bytes-out`";
        /// The bodies that one call is answered.
        response_kib: usize = 192, 1 to 1_024, "KiB", "the call ends with `http-bytes-in`";
        /// The headers of one answer.
        header_kib: usize = 16, 8 to 256, "KiB", "the call ends with `http-headers`";
        /// How long one call waits for services, all its requests together.
        wait_ms: u64 = 10_000, 10 to 120_000, "milliseconds", "the call ends with `http-time`";
    }
}

/// All tables of limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The connections of each of the two listeners.
    pub listener: ListenerLimits,
    /// What devices may ask.
    pub device: DeviceLimits,
    /// How often devices may ask.
    pub throttle: ThrottleLimits,
    /// What the management API takes.
    pub management: ManagementLimits,
    /// The database.
    pub store: StoreLimits,
    /// What policies may use.
    pub policy: PolicyLimits,
    /// What policies may use of the network.
    pub http: HttpLimits,
}

impl ThrottleLimits {
    /// Limits that throttle nothing: for measurements, whose devices all have one address.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            address_per_second: 0,
            device_per_minute: 0,
            password_per_minute: 0,
            password_address_per_minute: 0,
            password_account_per_minute: 0,
            strangers_kept_per_minute: 0,
            strangers_kept_per_address_per_minute: 0,
            ..Self::default()
        }
    }
}

impl Limits {
    /// Every limit with its current value.
    pub fn in_force(&self) -> Vec<(&'static Fact, u64)> {
        let Self { listener, device, throttle, management, store, policy, http } = self;
        let first = [listener.in_force(), device.in_force(), throttle.in_force(), management.in_force()];
        first.into_iter().chain([store.in_force(), policy.in_force(), http.in_force()]).flatten().collect()
    }
}

/// The tables in the order of the file: the name, what it is about, and its limits.
pub(super) const TABLES: [(&str, &str, &[Fact]); 8] = [
    (CertificateRules::TABLE, CertificateRules::ABOUT, CertificateRules::FACTS),
    (ListenerLimits::TABLE, ListenerLimits::ABOUT, ListenerLimits::FACTS),
    (DeviceLimits::TABLE, DeviceLimits::ABOUT, DeviceLimits::FACTS),
    (ThrottleLimits::TABLE, ThrottleLimits::ABOUT, ThrottleLimits::FACTS),
    (ManagementLimits::TABLE, ManagementLimits::ABOUT, ManagementLimits::FACTS),
    (StoreLimits::TABLE, StoreLimits::ABOUT, StoreLimits::FACTS),
    (PolicyLimits::TABLE, PolicyLimits::ABOUT, PolicyLimits::FACTS),
    (HttpLimits::TABLE, HttpLimits::ABOUT, HttpLimits::FACTS),
];
