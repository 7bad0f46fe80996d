# help.awk: prints `make help` from the makefiles: `##@ Section`, `target: ## what it does`,
# and `##: a line that is shown unchanged`.
BEGIN {
    last = "Housekeeping"
    section = "Everything at once"
    open_section()
}

function open_section() {
    if (!(section in text) && section != last)
        order[++count] = section
    text[section] = text[section] ""
}

FILENAME ~ /\.d$/ { nextfile } # dependencies of objects, in $(MAKEFILE_LIST) too

{ # a continued line
    $0 = rest $0
    rest = ""
}

/\\$/ {
    rest = substr($0, 1, length($0) - 1)
    next
}

/^##@ / {
    section = substr($0, 5)
    open_section()
    next
}

/^##: / { text[section] = text[section] "  " substr($0, 5) "\n" }

/^[a-zA-Z0-9_.-]+( [a-zA-Z0-9_.-]+)*:.* ## / {
    target = help = $0
    sub(/:.*/, "", target)
    sub(/.* ## /, "", help)
    text[section] = text[section] sprintf("  %-16s %s\n", target, help)
}

END {
    order[++count] = last
    for (i = 1; i <= count; i++)
        if (text[order[i]] != "")
            printf "%s%s\n%s", (i > 1 ? "\n" : ""), order[i], text[order[i]]
}
