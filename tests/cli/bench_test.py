"""gemma4 bench: the report's formats, its arithmetic, the baseline gate. The machine of a test may
be busy, so no time is judged."""

import csv
import io
import json
import os
import unittest

from support import SOURCE_DIR, CliTest, golden

FIELDS = ("ttft_ms", "tpot_ms", "itl_ms", "prefill_tokens_per_second", "decode_tokens_per_second",
          "request_throughput", "bytes_per_token", "share_of_bandwidth", "share_of_matmul",
          "peak_rss_bytes", "load_ms")
# Of drafts and of diffusion models alone.
OTHER_FIELDS = ("accepted_length", "speed_up", "steps_per_block")


def documented_keys():
    """Heading of man/sections -> the keys under it."""
    path = os.path.join(SOURCE_DIR, "man", "sections", "gemma4-bench.roff")
    sections, is_term = {}, False
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith(".SS "):
                keys = sections.setdefault(line[4:], set())
            elif is_term:
                keys.update(line.removeprefix(".B ").split(", "))
            is_term = line == ".TP"
    return sections


def printed_keys(report):
    """The same of a report."""
    found = {"Report": set(report)}

    def add(heading, value):
        if isinstance(value, list):
            for item in value:
                add(heading, item)
        elif isinstance(value, dict):
            measured = "median" in value
            found.setdefault("Measured" if measured else heading, set()).update(value)
            for item in value.values() if not measured else ():
                add(heading, item)

    for part in set(report) - {"schema"}:
        add(part, report[part])
    return found


class Bench(CliTest):
    """On the reference device, whose limits are measured fastest, where it makes no difference."""

    SMALL = ("--dummy", os.path.join(golden("text-e"), "config.json"), "--anyway", "-q",
             "--reps", "2", "--workload", "9/4")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.path.join(cls.folder, "report.json")
        cls().bench(*cls.SMALL, "--batch", "1,2", "--depth", "0,30", "--format", "json",
                    "-o", path)
        with open(path, encoding="utf-8") as file:
            cls.report = json.load(file)

    def bench(self, *arguments, device="reference"):
        done = self.command("bench", "--device", device, *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def altered(self, name, factor):
        """The report with all decode rates changed."""
        report = json.loads(json.dumps(self.report))
        for cell in report["cells"]:
            cell["decode_tokens_per_second"]["median"] *= factor
        return self.write(name, json.dumps(report))

    def test_json_has_the_documented_shape(self):
        report = self.report
        self.assertEqual(report["schema"], "gemma4.bench/1")
        self.assertEqual(list(report), ["schema", "env", "limits", "cells"])
        self.assertEqual(set(report["limits"]["matmul_gflop_per_s"]),
                         {"f32", "bf16", "int8", "int4"})
        for key in ("cpu", "threads", "device", "busy_cores", "load_average", "model",
                    "model_hash", "version"):
            self.assertIn(key, report["env"])
        self.assertEqual([(c["batch"], c["depth"]) for c in report["cells"]],
                         [(1, 0), (2, 0), (1, 30), (2, 30)])
        for cell in report["cells"]:
            self.assertEqual(tuple(cell), ("workload", "batch", "depth", "weights",
                                           "kv_cache_dtype", *FIELDS, *OTHER_FIELDS,
                                           "acceptance_by_position"))
            for field in OTHER_FIELDS:
                self.assertEqual(cell[field], {"median": None, "p99": None, "mean": None,
                                               "values": []})
            self.assertEqual(cell["acceptance_by_position"], [])
            for field in FIELDS:
                self.assertEqual(list(cell[field]), ["median", "p99", "mean", "values"])
                self.assertGreater(cell[field]["median"], 0, field)
            self.assertIsNone(cell["ttft_ms"]["p99"])
            self.assertEqual(len(cell["ttft_ms"]["values"]), 2 * cell["batch"])
            self.assertEqual(len(cell["itl_ms"]["values"]), 2 * 3 * cell["batch"])

    def test_every_key_is_documented_and_every_documented_key_is_printed(self):
        drafted = json.loads(self.bench(*self.SMALL, "--draft", "ngram", "--ops", "--baseline",
                                        self.write("base.json", json.dumps(self.report)),
                                        "--format", "json"))
        loaded = json.loads(self.bench("-m", golden("text-e"), "--anyway", "--load", "--reps", "1",
                                       "--format", "json"))
        printed = printed_keys(drafted)
        for heading, keys in printed_keys(loaded).items():
            printed.setdefault(heading, set()).update(keys)
        self.assertEqual(printed, documented_keys())

    def test_the_shares_follow_from_the_figures(self):
        for cell in self.report["cells"]:
            bandwidth = self.report["limits"]["read_gb_per_s"]["median"] * 1e9
            expected = (cell["bytes_per_token"]["median"]
                        * cell["decode_tokens_per_second"]["median"] / bandwidth)
            self.assertAlmostEqual(cell["share_of_bandwidth"]["median"] / expected, 1, 6)

    def test_the_other_formats(self):
        lines = self.bench(*self.SMALL, "--format", "jsonl").splitlines()
        self.assertEqual(json.loads(lines[0])["schema"], "gemma4.bench/1")
        self.assertEqual(json.loads(lines[1])["workload"], "9/4")
        rows = list(csv.DictReader(io.StringIO(self.bench(*self.SMALL, "--format", "csv"))))
        self.assertEqual((len(rows), rows[0]["workload"]), (1, "9/4"))
        self.assertGreater(float(rows[0]["tpot_ms"]), 0)
        self.assertEqual(rows[0]["ttft_ms_p99"], "")
        self.assertIn("| 9/4", self.bench(*self.SMALL, "--format", "markdown"))
        table = self.bench(*self.SMALL)
        self.assertIn("decode tok/s", table)
        self.assertIn("of the read bandwidth", table)
        vllm = self.bench(*self.SMALL, "--batch", "2", "--format", "vllm")
        self.assertRegex(vllm, r"Successful requests: +4 ")
        self.assertRegex(vllm, r"Total generated tokens: +16 ")
        self.assertRegex(vllm, r"P99 TTFT \(ms\): +- ")
        self.assertRegex(vllm, r"P99 ITL \(ms\): +\d")

    def test_a_checkpoint_and_its_load(self):
        report = json.loads(self.bench("-m", golden("text-e"), "--anyway", "--load", "--reps", "1",
                                       "--format", "json"))
        self.assertEqual(report["cells"], [])
        for field in ("cold_load_ms", "warm_load_ms", "cold_first_token_ms",
                      "warm_first_token_ms"):
            self.assertGreater(report["load"][field]["median"], 0)

    def test_converted_weights_read_fewer_bytes(self):
        def cell(*flags):
            text = self.bench(*self.SMALL, "--format", "json", *flags, device="cpu")
            return json.loads(text)["cells"][0]
        stored = cell()
        int8 = cell("--weights", "int8", "--lm-head", "int8")
        self.assertEqual((stored["weights"], int8["weights"]), ("stored", "int8"))
        ratio = int8["bytes_per_token"]["median"] / stored["bytes_per_token"]["median"]
        self.assertLess(ratio, 0.75)

    def test_operations(self):
        shape = os.path.join(golden("text-31b"), "config.json")
        report = json.loads(self.bench("--dummy", shape, "--anyway", "--ops", "--format", "json",
                                       "--reps", "1", "--weights", "int8", device="cpu"))
        self.assertEqual(report["cells"], [])
        ops = {(op["op"], op["rows"], op["cols"]): op for op in report["ops"]}
        self.assertEqual(len(ops), len(report["ops"]))
        with open(shape, encoding="utf-8") as file:
            config = json.load(file)["text_config"]
        hidden = config["hidden_size"]
        gate = ops["mlp.gate_proj", config["intermediate_size"], hidden]
        self.assertEqual(gate["per_token"], config["num_hidden_layers"])
        self.assertEqual(gate["weights"], "int8")
        self.assertGreater(gate["decode_gb_per_s"]["median"], 0)
        self.assertGreater(gate["prefill_gflop_per_s"]["median"], 0)
        head = ops["lm_head", config["vocab_size"], hidden]
        self.assertEqual(head["weights"], "bf16")
        self.assertIsNone(head["prefill_gflop_per_s"]["median"])

    def test_drafts_in_every_format(self):
        flags = ("-m", golden("mtp-e/target"), "--draft", golden("mtp-e/assistant"),
                 "--draft-tokens", "2", "--anyway", "-q", "--reps", "1", "--workload", "9/30",
                 "--format")
        report = json.loads(self.bench(*flags, "json"))
        self.assertEqual(report["env"]["draft"], golden("mtp-e/assistant"))
        self.assertEqual(report["env"]["draft_tokens"], "2")
        (cell,) = report["cells"]
        length = cell["accepted_length"]["median"]
        shares = [share["median"] for share in cell["acceptance_by_position"]]
        self.assertEqual(len(shares), 2)
        self.assertTrue(1 <= length <= 1 + sum(shares) + 1e-9, (length, shares))
        self.assertGreater(cell["speed_up"]["median"], 0)
        (row,) = csv.DictReader(io.StringIO(self.bench(*flags, "csv")))
        self.assertEqual((float(row["accepted_length"]), row["draft_tokens"]), (length, "2"))
        self.assertEqual([float(x) for x in row["acceptance_by_position"].split()], shares)
        self.assertGreater(float(row["speed_up"]), 0)
        for name, item in (("table", "\n"), ("markdown", "\n- ")):
            self.assertRegex(self.bench(*flags, name),
                             item + rf"drafts 9/30 x1 at 0: accepted length {length:.2f}, "
                             rf"by position {100 * shares[0]:.0f} {100 * shares[1]:.0f} %, "
                             r"speed-up \d")
        lookup = json.loads(self.bench(*self.SMALL, "--draft", "ngram", "--format", "json"))
        self.assertEqual((lookup["env"]["draft"], lookup["env"]["draft_tokens"]),
                         ("ngram", "auto"))

    def test_environment_only(self):
        self.assertIn("limits: read ", self.bench("--env", "--anyway"))

    def test_plan(self):
        plan = json.loads(self.bench("--dummy", "31b", "--weights", "int4", "--plan",
                                     "--format", "json", "--batch", "4"))
        self.assertGreater(plan["weights"], 15 << 30)
        self.assertLess(plan["weights"], 25 << 30)

    def test_the_baseline_gate(self):
        cells = (*self.SMALL, "--batch", "1,2", "--depth", "0,30", "--device", "reference")
        faster = self.altered("faster.json", 1e6)
        slower = self.altered("slower.json", 1e-6)
        done = self.command("bench", *cells, "--baseline", faster, "--max-regress", "1000000",
                            "--format", "json")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn(b"decode_tokens_per_second", done.stderr)
        compared = json.loads(done.stdout)["baseline"]
        self.assertEqual(len(compared), 4 * 4)
        done = self.command("bench", *cells, "--baseline", slower, "--max-regress", "1000000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"better", done.stdout)
        self.assert_fails(4, "bench", *self.SMALL, "--workload", "5/2", "--batch", "3",
                          "--device", "reference", "--baseline", faster, says="in common")
        bad = self.write("bad.json", '{"schema": "gemma4.bench/1"}')
        self.assert_fails(4, "bench", *cells, "--baseline", bad, says="bad.json")
        self.assert_fails(4, "bench", *cells, "--baseline", "/nowhere/x", says="/nowhere/x")

    def test_refusals(self):
        for flags in (("--workload", "x"), ("--batch", "0"), ("--batch", "1,,2"), ("--depth", "x"),
                      ("--input-len", "5"), ("--workload", "5/5", "--input-len", "5",
                                             "--output-len", "5"),
                      ("--max-regress", "5"), ("--load",), ("--dummy", "7b"), ("-m", "x"),
                      ("--env",), ("--ops", "--format", "vllm"), ("--weights", "int3"),
                      ("--ops", "--draft", "ngram"), ("--draft", "auto"),
                      ("--draft-tokens", "2")):
            with self.subTest(flags=flags):
                arguments = ("--dummy", "e2b", *flags)
                self.assert_fails(2, "bench", *arguments)
        self.assert_fails(4, "bench", *self.SMALL, "--depth", "100m", says="context")
        self.assert_fails(2, "bench", "--anyway", says="-m")


if __name__ == "__main__":
    unittest.main()
