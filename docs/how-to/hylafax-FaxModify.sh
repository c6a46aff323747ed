# etc/FaxModify of a HylaFAX server: tiff2fax reads it before it looks at a TIFF. A page of codes that is drawn anew at another
# resolution cannot be read any more: say so instead, and Trait d'union sends the pages that this machine takes.
case "$0" in
*tiff2fax*)
    case "$($CHECK $opt $fil 2>/dev/null | sed 1q)" in
    *REVRES*)
        echo "High resolution document is not supported by client"
        exit 254
        ;;
    esac
    ;;
esac
