# help.awk: prints `make help` from the makefiles: `##@ Section`, `target: ## what it does`,
# and `##: a line that is shown as it stands`.
FILENAME ~ /\.d$/ { nextfile } # dependencies of objects, in $(MAKEFILE_LIST) too

/^##@ / {
    section = substr($0, 5)
    if (!(section in text))
        order[++count] = section
    text[section] = text[section] ""
    next
}

/^##: / { text[section] = text[section] "  " substr($0, 5) "\n" }

/^[a-zA-Z0-9_.-]+( [a-zA-Z0-9_.-]+)*:.* ## / {
    target = $0
    sub(/:.*/, "", target)
    help = $0
    sub(/.* ## /, "", help)
    text[section] = text[section] sprintf("  %-16s %s\n", target, help)
}

END {
    for (i = 1; i <= count; i++)
        if (text[order[i]] != "")
            printf "%s%s\n%s", (i > 1 ? "\n" : ""), order[i], text[order[i]]
}
