// The template engine: against Jinja2's own results, on the origin of text, and on its limits.
#include <doctest/doctest.h>

#include <string>

#include "lib/text/jinja/template.h"
#include "tests/support/golden_files.h"

namespace gemma4::jinja {
namespace {

std::string render(std::string_view source, const std::vector<Variable>& variables = {},
                   const Limits& limits = {}) {
  return std::string(Template::compile(source, "test", limits).render(variables).view());
}

/// The error's message; empty when there is none.
std::string failure(std::string_view source, const std::vector<Variable>& variables = {},
                    const Limits& limits = {}) {
  try {
    render(source, variables, limits);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

/// Untrusted characters in angle brackets: «data».
std::string origins(std::string_view source, const Json& data) {
  const Text text =
      Template::compile(source, "test").render({{"x", data, false}, {"t", "T", true}});
  std::string out;
  for (const TextSpan& span : to_spans(text)) {
    out += span.trusted ? span.text : "«" + span.text + "»";
  }
  return out;
}

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("templates give what Jinja2 gives, and fail where it fails") {
  const Json document =
      read_json_file(source_dir() / "tests/text/jinja_cases.json", ErrorKind::kInput);
  std::vector<Variable> variables;
  for (const auto& [name, value] : document["variables"].items()) {
    variables.push_back({name, value, false});
  }
  CHECK(document["cases"].size() > 200);
  for (const Json& test : document["cases"]) {
    const std::string source = test["template"];
    CAPTURE(source);
    if (test.contains("error")) {
      CHECK(failure(source, variables) != "");
    } else {
      std::string result;
      try {
        result = render(source, variables);
      } catch (const Error& error) {
        result = error.what();
      }
      CHECK(result == test["expected"].get<std::string>());
    }
  }
}

TEST_CASE("generation blocks print what is inside") {
  CHECK(render("a{% generation %}b{{ 1 }}{% endgeneration %}c") == "ab1c");
}

TEST_CASE("every character remembers whether the template wrote it") {
  CHECK(origins("a{{ x }}b{{ t }}", "data") == "a«data»bT");
  CHECK(origins("{{ 'a' + x + 'b' }}", "data") == "a«data»b");
  CHECK(origins("{{ 'a' ~ x ~ 'b' ~ x }}", "d") == "a«d»b«d»");
  CHECK(origins("{{ (' <' ~ x ~ '> ') | trim }}", " d ") == "<« d »>");
  CHECK(origins("{{ ('a' ~ x ~ 'b') | upper }}", "ß") == "A«SS»B");
  CHECK(origins("{{ ('a' ~ x ~ 'b')[1:4] }}", "xyz") == "«xyz»");
  CHECK(origins("{{ ('ab' ~ x)[::-1] }}", "cd") == "«dc»ba");
  CHECK(origins("{{ ('a,' ~ x).split(',') | join('-') }}", "b,c") == "a-«b»-«c»");
  CHECK(origins("{{ 'a-b' | replace('-', x) }}", "+") == "a«+»b");
  CHECK(origins("{{ x | replace('-', '+') }}", "a-b") == "«a»+«b»");
  CHECK(origins("{{ x | join(t) }}", Json::array({"a", "b"})) == "«a»T«b»");
  CHECK(origins("{% for k, v in x | dictsort %}{{ k }}={{ v }}{% endfor %}", {{"k", "v"}}) ==
        "«k»=«v»");
  CHECK(origins("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}", "d") == "<«d»>");
  CHECK(origins("{% set y %}<{{ x }}>{% endset %}{{ y }}", "d") == "<«d»>");
  CHECK(origins("{% set ns = namespace(s='') %}{% for c in x %}{% set ns.s = ns.s + c + '.' %}"
                "{% endfor %}{{ ns.s }}",
                "ab") == "«a».«b».");
  CHECK(origins("{% filter lower %}A{{ x }}{% endfilter %}", "B") == "a«b»");
  CHECK(origins("{{ ['a', x] }}", "b") == "«['»a«', 'b']»");
  CHECK(origins("{{ {'a': x} | tojson }}", "b") == "«{\"»a«\": \"b\"}»");
  CHECK(origins("{{ x }}{{ 1 }}{{ none }}", 5) == "«51None»");
  CHECK(origins("{{ x | indent(1) }}", "a\nb") == "«a\n» «b»");
  CHECK(origins("{{ [x, 'b'] | sort | join }}", "a") == "«a»b");
  CHECK(origins("{{ (x ~ 'b') | title }}", "a") == "«A»b");
  CHECK(origins("{{ x | first }}{{ x[0] }}{{ x | list | last }}", "ab") == "«aab»");
}

TEST_CASE("growing a string in place does not change those cut from it") {
  CHECK(render("{% set a = 'x' ~ 'y' %}{% set b = a ~ '1' %}{% set c = a ~ '2' %}"
               "{{ a }} {{ b }} {{ c }} {{ b ~ b }} {{ b }}") == "xy xy1 xy2 xy1xy1 xy1");
  const Template shared = Template::compile("{% set a = 'lit' %}{{ a + 'x' }}{{ a + 'y' }}", "t");
  CHECK(shared.render({}).view() == "litxlity");
  CHECK(shared.render({}).view() == "litxlity");
}

TEST_CASE("errors name what is unknown, the template and the line") {
  const std::string unknown = failure("a\nb {{ 1 | frobnicate }}");
  CHECK(mentions(unknown, "unknown filter 'frobnicate'"));
  CHECK(mentions(unknown, "test line 2"));
  CHECK(mentions(failure("{{ 1 is frobnicated }}"), "unknown test 'frobnicated'"));
  CHECK(mentions(failure("\n\n{{ frob() }}"), "test line 3: unknown function 'frob'"));
  CHECK(mentions(failure("{{ 'a'.frob() }}"), "string has no method 'frob'"));
  CHECK(mentions(failure("{{ [1].append(2) }}"), "list has no method 'append'"));
  CHECK(mentions(failure("{% include 'x' %}"), "tag 'include'"));
  CHECK(mentions(failure("{{ strftime_now('%d') }}"), "unknown function 'strftime_now'"));
  CHECK(render("{{ 'y' if strftime_now is defined else 'n' }}") == "n");
  CHECK(mentions(failure("x\n{% if a %}\n\n{{ b.c }}{% endif %}", {{"a", 1, false}}),
                 "test line 4: 'b' is undefined"));
  CHECK(mentions(failure("{{ raise_exception('only\nusers') }}"), "only?users"));
  CHECK(mentions(failure("\xFF"), "UTF-8"));
  CHECK(mentions(failure("{{ '\\N{DASH}' }}"), "\\N"));
}

TEST_CASE("a template that raises an exception is an input error, another failure the model's") {
  const auto kind = [](std::string_view source) {
    try {
      render(source);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kInternal;
  };
  CHECK(kind("{{ raise_exception('no') }}") == ErrorKind::kInput);
  CHECK(kind("{{ 1 + 'a' }}") == ErrorKind::kModel);
  CHECK(kind("{{ 1 + }}") == ErrorKind::kModel);
}

TEST_CASE("sources that are too long or too deep are refused") {
  Limits small;
  small.source_bytes = 100;
  CHECK(mentions(failure(std::string(101, 'x'), {}, small), "longer than 100 bytes"));
  CHECK(failure(std::string(100, 'x'), {}, small) == "");
  CHECK(mentions(failure("{{ " + repeat("(", 5000) + "1" + repeat(")", 5000) + " }}"), "deeply"));
  CHECK(mentions(failure("{{ " + repeat("[", 5000) + repeat("]", 5000) + " }}"), "deeply"));
  CHECK(mentions(failure("{{ " + repeat("- ", 5000) + "1 }}"), "deeply"));
  CHECK(mentions(failure("{{ " + repeat("not ", 5000) + "1 }}"), "deeply"));
  CHECK(mentions(failure("{{ " + repeat("1 if 1 else ", 5000) + "1 }}"), "deeply"));
  CHECK(mentions(failure(repeat("{% if 1 %}", 5000)), "deeply"));
  CHECK(mentions(failure("{{ 1" + repeat(" + 1", 5000) + " }}"), "too long"));
  CHECK(mentions(failure("{{ a" + repeat(".a", 5000) + " }}"), "too long"));
  CHECK(mentions(failure("{{ a" + repeat(" | trim", 5000) + " }}"), "too long"));
  CHECK(render("{{ ''" + repeat(" ~ 'a'", 5000) + " }}") == std::string(5000, 'a'));
  CHECK(render("{{ " + repeat("(", 50) + "1" + repeat(")", 50) + " }}") == "1");
}

TEST_CASE("a template that does too much is stopped") {
  CHECK(mentions(failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), "too deeply"));
  CHECK(mentions(failure("{% macro m() %}{{ m() | trim ~ [m()] }}{% endmacro %}{{ m() }}"),
                 "too deeply"));
  CHECK(mentions(failure("{% set ns = namespace(l=[]) %}{% for i in range(1000) %}"
                         "{% set ns.l = [ns.l] %}{% endfor %}"),
                 "too deeply"));
  CHECK(mentions(failure("{% set ns = namespace(l={}) %}{% for i in range(1000) %}"
                         "{% set ns.l = {'a': ns.l} %}{% endfor %}"),
                 "too deeply"));
  const Limits quick = {.steps = 100'000, .allocated_bytes = 10'000'000, .output_bytes = 1'000};
  CHECK(mentions(failure("{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}"
                         "{% endfor %}",
                         {}, quick),
                 "too many steps"));
  CHECK(mentions(failure("{{ 'x' * 1001 }}", {}, quick), "too much output"));
  CHECK(mentions(failure("{% set x = 'x' * 100000000 %}", {}, quick), "too much memory"));
  CHECK(mentions(failure("{% set x = [1] * 100000000 %}", {}, quick), "too much memory"));
  CHECK(mentions(failure("{% set ns = namespace(x='x') %}{% for i in range(99) %}"
                         "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
                         {}, quick),
                 "too"));
  CHECK(mentions(failure("{% set ns = namespace(x=['x']) %}{% for i in range(99) %}"
                         "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
                         {}, quick),
                 "too"));
  CHECK(mentions(failure("{% set ns = namespace(x=[1]) %}{% for i in range(99) %}"
                         "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x + [] }}",
                         {}, quick),
                 "too"));
  CHECK(mentions(failure("{{ range(2000000) | length }}"), "too long"));
  CHECK(mentions(failure("{{ 10 ** 100 }}"), "out of range"));
}

TEST_CASE("chains and cycles of values are taken apart without recursion") {
  CHECK(render("{% set ns = namespace(head=none) %}{% for i in range(200000) %}"
               "{% set ns.head = namespace(next=ns.head) %}{% endfor %}done") == "done");
  CHECK(render("{% set a = namespace() %}{% set a.self = a %}{% set a.list = [a] %}x") == "x");
  CHECK(render("{% set ns = namespace(f=none) %}{% for i in range(100000) %}"
               "{% macro m() %}{{ i }}{% endmacro %}{% set ns.f = m %}{% endfor %}{{ ns.f() }}") ==
        "99999");
  CHECK(render("{% set ns = namespace(m=none) %}{% for i in range(3) %}"
               "{% set ns.m = loop %}{% endfor %}{{ ns.m.length }}") == "3");
  CHECK(render("{% set ns = namespace(f=none) %}"
               "{% macro start() %}{% macro inner() %}{% macro deeper() %}d{% endmacro %}"
               "{% set ns.f = deeper %}{% endmacro %}{% set ns.f = inner %}{% endmacro %}"
               "{{ start() }}{{ ns.f() }}{{ ns.f() }}") == "d");
}

TEST_CASE("data that is not valid UTF-8 or nested too deeply does no harm") {
  CHECK(render("{{ x }}", {{"x", "a\xFFz", false}}) == "a\xEF\xBF\xBDz");
  Json deep = 1;
  for (int i = 0; i < 5000; ++i) deep = Json::array({std::move(deep)});
  CHECK(mentions(failure("{{ x }}", {{"x", deep, false}}), "too deeply"));
}

}  // namespace gemma4::jinja
