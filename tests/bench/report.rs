//! The benchmark's figures for whoever reads them: a table, a plot and the ratios beside their goals.

use serde_json::Value;

/// The widest bar.
const BAR: f64 = 40.0;
/// What each ratio is to be at most, or at least.
const GOALS: [(&str, &str); 9] = [
    ("cpu_per_message_to_floor_sqlite", "≤ 1.15"),
    ("cpu_per_message_to_floor_postgres", "≤ 1.25"),
    ("throughput_to_nginx", "≥ 0.20"),
    ("p50_at_half_load_to_floor", "≤ 1.5"),
    ("p99_to_p50_at_half_load", "≤ 5"),
    ("cpu_growth_1e4_to_1e6", "≤ 1.10"),
    ("cpu_growth_1e4_to_1e7", "≤ 1.10"),
    ("memory_idle_mb", "≤ 30"),
    ("memory_per_idle_connection_kb", "≤ nginx's"),
];

/// Prints all of it.
pub(crate) fn print(report: &Value) {
    print_shapes(report);
    println!("\nserver CPU µs a message");
    plot(report);
    let primitives = report["primitives_us"].as_object();
    let parts: Vec<String> =
        primitives.into_iter().flatten().map(|(name, us)| format!("{name} {:.1}", number(us))).collect();
    let sum: f64 = primitives.into_iter().flatten().map(|(_, us)| number(us)).sum();
    println!("\nprimitives, µs: {}; together {sum:.1}", parts.join(", "));
    let (floor, least) =
        (&report["shapes"][0]["server_cpu_us_per_message"]["median"], &report["least_store_us"]);
    let over_floor = |of: &str| (number(floor) + number(&least[of])) / number(floor);
    println!(
        "the least store, µs a message: SQLite {:.0}, PostgreSQL {:.0}; with the checks {:.2} and {:.2} times the floor",
        number(&least["sqlite"]),
        number(&least["postgres"]),
        over_floor("sqlite"),
        over_floor("postgres")
    );
    let server = &report["shapes"][3]["of_it_database_server_us"];
    println!("of a message on PostgreSQL, its server: {:.0} µs", number(&server["median"]));
    for size in report["growth"].as_array().into_iter().flatten() {
        println!(
            "log of {:>9} entries: {} µs a message, {:.0} MB",
            size["entries"],
            spread(&size["cpu_us"]),
            number(&size["memory_mb"]["median"])
        );
    }
    println!("\n{:<40} {:>20} {:>12}", "ratio", "", "goal");
    for (name, figure) in report["spreads"].as_object().into_iter().flatten() {
        let goal = GOALS.iter().find(|(of, _)| of == name).map_or("", |(_, goal)| goal);
        println!("{name:<40} {:>20} {goal:>12}", spread_of(figure, 2));
    }
    println!(
        "\n{} rounds of {} s each, {} more were dropped for what the host took away; the audit passed",
        report["rounds"], report["seconds_per_round"], report["rounds_dropped"]
    );
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

fn spread(figure: &Value) -> String {
    let places = if number(&figure["median"]) < 100.0 { 1 } else { 0 };
    spread_of(figure, places)
}

fn spread_of(figure: &Value, places: usize) -> String {
    let part = |part: &str| number(&figure[part]);
    format!("{:.places$} ({:.places$}–{:.places$})", part("median"), part("min"), part("max"))
}

/// A bar for each row.
fn plot(report: &Value) {
    let cost = |shape: &Value| number(&shape["server_cpu_us_per_message"]["median"]);
    let shapes = report["shapes"].as_array().into_iter().flatten();
    let most = shapes.clone().map(cost).fold(1.0, f64::max);
    for shape in shapes {
        let length = (BAR * cost(shape) / most).round() as usize;
        println!(
            "{:<26} {:>5.0} {}",
            shape["shape"].as_str().unwrap_or_default(),
            cost(shape),
            "█".repeat(length)
        );
    }
}

/// A row for each way to connect.
pub(crate) fn print_shapes(report: &Value) {
    println!(
        "{:<26} {:>22} {:>22} {:>18} {:>18}",
        "", "messages/s", "server CPU µs/message", "p50 ms", "p99 ms"
    );
    for shape in report["shapes"].as_array().into_iter().flatten() {
        let cell = |name: &str| spread(&shape[name]);
        println!(
            "{:<26} {:>22} {:>22} {:>18} {:>18}",
            shape["shape"].as_str().unwrap_or_default(),
            cell("messages_per_second"),
            cell("server_cpu_us_per_message"),
            cell("p50_ms"),
            cell("p99_ms")
        );
    }
}
