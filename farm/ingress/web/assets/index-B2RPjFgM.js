const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["assets/create-BrZromAb.js","assets/jsxRuntime-BY_AK3X-.js","assets/queue-CkHg2RuT.js","assets/objects-CL6w4HN5.js","assets/library-D_YZ0KpJ.js","assets/video-Q4GD_ltD.js","assets/workers-C1B9VxYG.js"])))=>i.map(i=>d[i]);
import{a as e,c as t,i as n,l as r,n as i,o as a,r as o,s,t as c,u as l}from"./jsxRuntime-BY_AK3X-.js";import{c as u,d as ee,f as te,l as ne,o as re,r as ie,t as ae,u as d}from"./objects-CL6w4HN5.js";var f,p;function m(e){return!p||(typeof p==`string`?e.startsWith(p):p.test(e))}function h(e,t){let n=``;if(f=void 0,t&&t.type===`click`){if(t.ctrlKey||t.metaKey||t.altKey||t.shiftKey||t.button!==0)return e;let r=t.composedPath().find(e=>e.nodeName==`A`&&e.href),i=r&&r.getAttribute(`href`);if(!r||r.origin!=location.origin||/^#/.test(i)||!/^(_?self)?$/i.test(r.target)||!m(i)||r.download)return e;f=!0,t.preventDefault(),n=r.href.replace(location.origin,``)}else t&&t.url?(f=!t.replace,n=t.url):n=location.pathname+location.search;return f===!0?history.pushState(null,``,n):f===!1&&history.replaceState(null,``,n),n}var oe=(e,t,n={})=>{e=e.split(`/`).filter(Boolean),t=(t||``).split(`/`).filter(Boolean),n.params||={};for(let r=0,i,a;r<Math.max(e.length,t.length);r++){let[,o,s,c]=(t[r]||``).match(/^(:?)(.*?)([+*?]?)$/);if(i=e[r],o||s!=i){if(!o&&i&&c==`*`){n.rest=`/`+e.slice(r).join(`/`);break}if(!o||!i&&c!=`?`&&c!=`*`)return;if(a=c==`+`||c==`*`,a?i=e.slice(r).map(decodeURIComponent).join(`/`)||void 0:i&&=decodeURIComponent(i),n.params[s]=i,s in n||(n[s]=i),a)break}}return n};function g(e){let[t,n]=ne(h,e.url||location.pathname+location.search);e.scope&&(p=e.scope);let r=f===!0,i=te(()=>{let e=new URL(t,location.origin),i=e.pathname.replace(/\/+$/g,``)||`/`;return{url:t,path:i,query:Object.fromEntries(e.searchParams),route:(e,t)=>n({url:e,replace:t}),back:()=>{history.back()},forward:()=>{history.forward()},wasPush:r}},[t]);return re(()=>(addEventListener(`click`,n),addEventListener(`popstate`,n),()=>{removeEventListener(`click`,n),removeEventListener(`popstate`,n)}),[]),s(g.ctx.Provider,{value:i},e.children)}var se=Promise.resolve();function _(e){let[t,n]=ne(e=>e+1,0),{url:r,query:i,wasPush:c,path:l}=de();if(!r)throw Error(`preact-iso's <Router> must be used within a <LocationProvider>, see: https://github.com/preactjs/preact-iso#locationprovider`);let{rest:ie=l,params:ae={}}=ee(ue),d=u(!1),f=u(l),p=u(1),m=u(),h=u(),g=u(),_=u(!1),y=u();y.current=!1;let fe,b,x;o(e.children).some(e=>{if(oe(ie,e.props.path,x={...e.props,path:ie,query:i,params:Object.assign({},ae),rest:``}))return fe=a(e,x);e.props.default&&(b=a(e,x))});let S=fe||b,pe=m.current&&m.current.__u&ce&&m.current.__u&v,me=m.current&&m.current.__h,he=te(()=>{h.current=m.current,m.current=s(ue.Provider,{value:x},S);let e=h.current&&h.current.props.children;return!e||!S||S.type!==e.type||S.props.component!==e.props.component?(p.current++,!0):!1},[r,JSON.stringify(x)]);pe?(m.current.__u|=ce,m.current.__u|=v):me&&(m.current.__h=!0);let ge=h.current;return h.current=null,this.__c=(t,i)=>{y.current=!0,h.current=ge,e.onLoadStart&&e.onLoadStart(r),d.current=!0;let a=p.current;t.then(()=>{a===p.current&&(h.current=null,m.current&&(i.__h&&(m.current.__h=i.__h),i.__u&v&&(m.current.__u|=v),i.__u&ce&&(m.current.__u|=ce)),se.then(n))})},re(()=>{let t=this.__v&&this.__v.__e;y.current?!_.current&&!g.current&&(g.current=t):(!_.current&&g.current&&(g.current!==t&&g.current.remove(),g.current=null),_.current=!0,f.current!==l&&(c&&scrollTo(0,0),e.onRouteChange&&e.onRouteChange(r),f.current=l),e.onLoadEnd&&d.current&&e.onLoadEnd(r),d.current=!1)},[l,c,t]),he?[s(le,{r:m,key:p.current}),s(le,{r:h,key:p.current-1})]:s(le,{r:m,key:p.current})}var ce=32,v=128,le=({r:e})=>e.current;_.Provider=g,g.ctx=e({});var ue=e({}),y=e=>s(e.component,e),de=()=>ee(g.ctx),fe=()=>ee(ue),b=t.__b;t.__b=e=>{e.type&&e.type._forwarded&&e.ref&&(e.props.ref=e.ref,e.ref=null),b&&b(e)};function x(e){let t,n,r=()=>e().then(e=>n=e&&e.default||e),i=e=>{let[,i]=d(0),a=u(n);if(t||=r(),n!==void 0)return s(n,e);throw a.current||=t.then(()=>i(1)),t};return i.preload=()=>(t||=r(),t),i._forwarded=!0,i}var S=t.__e;t.__e=(e,t,n)=>{if(e&&e.then){let r=t;for(;r=r.__;)if(r.__c&&r.__c.__c)return t.__e??(t.__c.__z=[n.__e],t.__e=n.__e,t.__k=n.__k),t.__k||=[],r.__c.__c(e,t)}S&&S(e,t,n)};function pe(e){return this.__c=me,this.componentDidCatch=e.onError,e.children}function me(e){e.then(()=>this.forceUpdate())}var he=(function(){let e=typeof document<`u`&&document.createElement(`link`).relList;return e&&e.supports&&e.supports(`modulepreload`)?`modulepreload`:`preload`})(),ge=function(e){return`/ui/`+e},_e={},ve=function(e){return e.pathname.endsWith(`.css`)},ye=function(e,t,n){if(t in e)return e[t];let r=n();if(!r){e[t]=void 0;return}let i=r.then(()=>{e[t]=void 0},n=>{throw e[t]=void 0,n});return e[t]=i,i},C=function(e,t,n){let r=Promise.resolve();if(t&&t.length>0){let e,i=document.querySelector(`meta[property=csp-nonce]`),a=i?.nonce||i?.getAttribute(`nonce`);function o(e){return Promise.all(e.map(e=>Promise.resolve(e).then(e=>({status:`fulfilled`,value:e}),e=>({status:`rejected`,reason:e}))))}function s(e){return import.meta.resolve?new URL(import.meta.resolve(e)):new URL(e,import.meta.url)}r=o(t.map(t=>{t=ge(t,n);let r=s(t),i=ve(r);return ye(_e,r.href,()=>{if(e===void 0){e={all:new Set,styles:new Set};let t=document.getElementsByTagName(`link`);for(let n=t.length-1;n>=0;n--){let r=t[n];e.all.add(r.href),r.rel===`stylesheet`&&e.styles.add(r.href)}}if((i?e.styles:e.all).has(r.href))return;let t=document.createElement(`link`);if(t.rel=i?`stylesheet`:he,i||(t.as=`script`),t.crossOrigin=``,t.href=r.href,a&&t.setAttribute(`nonce`,a),document.head.appendChild(t),i)return new Promise((e,n)=>{let i=a=>{t.removeEventListener(`load`,i),t.removeEventListener(`error`,i),a.type===`error`?n(Error(`Unable to preload CSS for ${r}`)):e(a)};t.addEventListener(`load`,i),t.addEventListener(`error`,i)})})}).filter(e=>e!==void 0))}function i(e){let t=new Event(`vite:preloadError`,{cancelable:!0});if(t.payload=e,window.dispatchEvent(t),!t.defaultPrevented)throw e}return r.then(t=>{for(let e of t||[])e.status===`rejected`&&i(e.reason);return e().catch(i)})},be=Symbol.for(`preact-signals`);function w(){if(k>1)k--;else{var e,t=!1;for((function(){var e=j;for(j=void 0;e!==void 0;){var t=e.S;if(t.v===e.v)for(var n=t.t;n!==void 0;n=n.x)n.i===e.i&&(n.i=t.i);e=e.o}})();O!==void 0;){var n=O;for(O=void 0,A++;n!==void 0;){var r=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&Te(n))try{n.c()}catch(n){t||=(e=n,!0)}n=r}}if(A=0,k--,t)throw e}}function xe(e){if(k>0)return e();Ce=++Se,k++;try{return e()}finally{w()}}var T,E=void 0;function D(e){var t=E,n=T;E=void 0,T=void 0;try{return e()}finally{E=t,T=n}}var O=void 0,k=0,A=0,Se=0,Ce=0,j=void 0,M=0;function we(e){if(E!==void 0){var t=e.n;if(t===void 0||t.t!==E)return t={i:0,S:e,p:E.s,n:void 0,t:E,e:void 0,x:void 0,r:t},E.s!==void 0&&(E.s.n=t),E.s=t,e.n=t,32&E.f&&e.S(t),t;if(t.i===-1)return t.i=0,t.n!==void 0&&(t.n.p=t.p,t.p!==void 0&&(t.p.n=t.n),t.p=E.s,t.n=void 0,E.s.n=t,E.s=t),t}}function N(e,t){this.v=e,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=t?.watched,this.Z=t?.unwatched,this.name=t?.name}N.prototype.brand=be,N.prototype.h=function(){return!0},N.prototype.S=function(e){var t=this,n=this.t;n!==e&&e.e===void 0&&(e.x=n,this.t=e,n===void 0?D(function(){var e;(e=t.W)==null||e.call(t)}):n.e=e)},N.prototype.U=function(e){var t=this;if(this.t!==void 0){var n=e.e,r=e.x;n!==void 0&&(n.x=r,e.e=void 0),r!==void 0&&(r.e=n,e.x=void 0),e===this.t&&(this.t=r,r===void 0&&D(function(){var e;(e=t.Z)==null||e.call(t)}))}},N.prototype.subscribe=function(e){var t=this;return R(function(){var n=t.value;D(function(){return e(n)})},{name:`sub`})},N.prototype.valueOf=function(){return this.value},N.prototype.toString=function(){return this.value+``},N.prototype.toJSON=function(){return this.value},N.prototype.peek=function(){var e=this;return D(function(){return e.value})},Object.defineProperty(N.prototype,"value",{get:function(){var e=we(this);return e!==void 0&&(e.i=this.i),this.v},set:function(e){if(e!==this.v){if(A>100)throw Error(`Cycle detected`);(function(e){k!==0&&A===0&&e.l!==Ce&&(e.l=Ce,j={S:e,v:e.v,i:e.i,o:j})})(this),this.v=e,this.i++,M++,k++;try{for(var t=this.t;t!==void 0;t=t.x)t.t.N()}finally{w()}}}});function P(e,t){return new N(e,t)}function Te(e){for(var t=e.s;t!==void 0;t=t.n)if(t.S.i!==t.i||!t.S.h()||t.S.i!==t.i)return!0;return!1}function Ee(e){for(var t=e.s;t!==void 0;t=t.n){var n=t.S.n;if(n!==void 0&&(t.r=n),t.S.n=t,t.i=-1,t.n===void 0){e.s=t;break}}}function De(e){for(var t=e.s,n=void 0;t!==void 0;){var r=t.p;t.i===-1?(t.S.U(t),r!==void 0&&(r.n=t.n),t.n!==void 0&&(t.n.p=r)):n=t,t.S.n=t.r,t.r!==void 0&&(t.r=void 0),t=r}e.s=n}function F(e,t){N.call(this,void 0,t),this.x=e,this.s=void 0,this.g=M-1,this.f=4}F.prototype=new N,F.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===M))return!0;if(this.g=M,this.f|=1,this.i>0&&!Te(this))return this.f&=-2,!0;var e=E;try{Ee(this),E=this;var t=this.x();(16&this.f||this.v!==t||this.i===0)&&(this.v=t,this.f&=-17,this.i++)}catch(e){this.v=e,this.f|=16,this.i++}return E=e,De(this),this.f&=-2,!0},F.prototype.S=function(e){if(this.t===void 0){this.f|=36;for(var t=this.s;t!==void 0;t=t.n)t.S.S(t)}N.prototype.S.call(this,e)},F.prototype.U=function(e){if(this.t!==void 0&&(N.prototype.U.call(this,e),this.t===void 0)){this.f&=-33;for(var t=this.s;t!==void 0;t=t.n)t.S.U(t)}},F.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var e=this.t;e!==void 0;e=e.x)e.t.N()}},Object.defineProperty(F.prototype,"value",{get:function(){if(1&this.f)throw Error(`Cycle detected`);var e=we(this);if(this.h(),e!==void 0&&(e.i=this.i),16&this.f)throw this.v;return this.v}});function I(e,t){return new F(e,t)}function Oe(e){var t=e.j;if(e.j=void 0,typeof t==`function`){k++;var n=E;E=void 0;try{t()}catch(t){throw e.f&=-2,e.f|=8,ke(e),t}finally{E=n,w()}}}function ke(e){for(var t=e.s;t!==void 0;t=t.n)t.S.U(t);e.x=void 0,e.s=void 0,Oe(e)}function Ae(e){if(E!==this)throw Error(`Out-of-order effect`);De(this),E=e,this.f&=-2;try{8&this.f&&ke(this)}finally{w()}}function L(e,t){this.x=e,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=t?.name,T&&T.push(this)}L.prototype.c=function(){var e=this.S();try{if(8&this.f||this.x===void 0)return;var t=this.x();typeof t==`function`&&(this.j=t)}finally{e()}},L.prototype.S=function(){if(1&this.f)throw Error(`Cycle detected`);this.f|=1,this.f&=-9,Oe(this),Ee(this),k++;var e=E;return E=this,Ae.bind(this,e)},L.prototype.N=function(){2&this.f||(this.f|=2,this.u=O,O=this)},L.prototype.d=function(){this.f|=8,1&this.f||ke(this)},L.prototype.dispose=function(){this.d()};function R(e,t){var n=new L(e,t);try{n.c()}catch(e){throw n.d(),e}var r=n.d.bind(n);return r[Symbol.dispose]=r,r}var je,z,Me=typeof window<`u`&&!!window.__PREACT_SIGNALS_DEVTOOLS__,Ne=[];R(function(){je=this.N})();function B(e,n){t[e]=n.bind(null,t[e]||function(){})}function V(e){if(z){var t=z;z=void 0,t()}z=e&&e.S()}function Pe(e){var t=this,n=e.data,i=Ie(n);i.name=`ReactiveDom`,i.value=n;var a=te(function(){for(var e=t,n=t.__v;n=n.__;)if(n.__c){n.__c.__$f|=4;break}var a=I(function(){var e=i.value.value;return e===0?0:!0===e?``:e||``}),o=I(function(){return!Array.isArray(a.value)&&!r(a.value)}),s=R(function(){if(this.N=ze,o.value){var t=a.value;e.__v&&e.__v.__e&&e.__v.__e.nodeType===3&&(e.__v.__e.data=t)}}),c=t.__$u.d;return t.__$u.d=function(){s(),c.call(this)},[o,a]},[]),o=a[0],s=a[1];return o.value?s.peek():s.value}Pe.displayName=`ReactiveTextNode`,Object.defineProperties(N.prototype,{constructor:{configurable:!0,value:s(i,null).constructor},type:{configurable:!0,value:Pe},props:{configurable:!0,get:function(){var e=this;return{data:{get value(){return e.value}}}}},__b:{configurable:!0,value:1}}),B(`__b`,function(e,t){if(V(),typeof t.type==`string`){var n,r=t.props;for(var i in r)if(i!==`children`){var a=r[i];a instanceof N&&(n||(t.__np=n={}),n[i]=a,r[i]=a.peek())}}e(t)}),B(`__r`,function(e,t){if(e(t),t.type!==i){V();var n,r=t.__c;r&&(r.__$f&=-2,(n=r.__$u)===void 0&&(r.__$u=n=function(e,t){var n;return R(function(){n=this},{name:t}),n.c=e,n}(function(e){return function(){var t;Me&&((t=this.y)==null||t.call(this)),e.__$f|=1,e.setState({})}}(r),typeof t.type==`function`?t.type.displayName||t.type.name:``))),V(n)}}),B(`__e`,function(e,t,n,r){V(),e(t,n,r)}),B(`diffed`,function(e,t){V();var n;if(typeof t.type==`string`&&(n=t.__e)){var r=t.__np,i=t.props,a=n.U;if(a)for(var o in a){var s=a[o];s===void 0||r&&o in r||(s.d(),a[o]=void 0)}if(r)for(var c in a||(a={},n.U=a),r){var l=a[c],u=r[c];l===void 0?(l=Fe(n,c,u,i),a[c]=l):l.o(u,i)}}e(t)});function Fe(e,t,n,r){var i=t in e&&e.ownerSVGElement===void 0,a=P(n);return{o:function(e,t){a.value=e,r=t},d:R(function(){this.N=ze;var n=a.value.value;r[t]!==n&&(r[t]=n,i?e[t]=n:n!=null&&(!1!==n||t[4]===`-`)?e.setAttribute(t,n):e.removeAttribute(t))})}}B(`unmount`,function(e,t){if(typeof t.type==`string`){var n=t.__e;if(n){var r=n.U;if(r)for(var i in n.U=void 0,r){var a=r[i];a&&a.d()}}var o=t.__np;if(o){var s=t.props;for(var c in o)s[c]=o[c]}t.__np=void 0}else{var l=t.__c;if(l){l.__$f|=8;var u=l.__$u;u&&(l.__$u=void 0,u.d())}}e(t)}),B(`__h`,function(e,t,n,r){r<3&&(t.__$f|=2),e(t,n,r)}),l.prototype.shouldComponentUpdate=function(e,t){if(this.__R)return!0;var n=this.__$u,r=n&&n.s!==void 0;for(var i in t)return!0;if(this.__f||typeof this.u==`boolean`&&!0===this.u){var a=2&this.__$f;if(!(r||a||4&this.__$f)||1&this.__$f)return!0}else if(!(r||4&this.__$f)||3&this.__$f)return!0;for(var o in e)if(o!==`__source`&&e[o]!==this.props[o])return!0;for(var s in this.props)if(!(s in e))return!0;return!1};function Ie(e,t){return te(function(){return P(e,t)},[])}var Le=function(e){queueMicrotask(function(){queueMicrotask(e)})};function Re(){xe(function(){for(var e;e=Ne.shift();)je.call(e)})}function ze(){Ne.push(this)===1&&(t.requestAnimationFrame||Le)(Re)}var Be=(e,t,n)=>`${e} ${e===1?t:n}`,Ve=e=>e.length>60?`${e.slice(0,58)} …`:e,H={farm:`framepack-farm`,away:`The farm does not answer, trying again.`,refused:e=>`The farm refused with status ${e} and gave no reason.`,loading:`Loading …`,main:`Main`,skip:`Skip to the content`,notHere:`There is nothing at this address.`,toCreate:`Make a video`,nav:{create:`Create`,queue:`Queue`,library:`Library`,workers:`Workers`},theme:{title:`Theme`,system:`As the system`,light:`Light`,dark:`Dark`},status:{queued:`waits`,in_progress:`runs`,paused:`is paused`,completed:`is ready`,failed:`has failed`,cancelled:`was cancelled`},act:{pause:`Pause`,resume:`Resume`,cancel:`Cancel`,edit:`Edit`,retry:`Retry`,delete:`Delete`,open:`Open`,save:`Save`,close:`Close`,copy:`Copy`,copied:`Copied`,undo:`Undo`,select:`Select`,done:`Done`,more:`More`},count:{sections:e=>Be(e,`section`,`sections`),videos:e=>Be(e,`video`,`videos`)},time:{left:e=>`about ${e} left`},done:{cancelled:(e,t)=>t?`“${Ve(t)}” was cancelled.`:`${e} videos were cancelled.`,deleted:e=>e===1?`The video was deleted.`:`${e} videos were deleted.`,refused:(e,t)=>e===1?t:`${e} were refused: ${t}`,saved:`Saved.`},progress:{name:`Progress`,section:(e,t)=>`section ${e} of ${t}`,step:(e,t)=>t?`step ${e} of ${t}`:`step ${e}`,stage:{encode:`reads the prompt and the picture`,section:`makes a section`,decode:`decodes`,finish:`joins the clips`},percent:e=>`${e} %`},queue:{running:`Running`,waiting:`Waiting`,paused:`Paused`,pauseAll:`Pause all mine`,cancelWaiting:`Cancel all waiting`,resumeAll:`Resume all`,filter:`Filter`,none:`Nothing waits. Drop a photo.`,noneFound:`No waiting video has these letters.`,priority:`Priority`,priorityHint:`From -10 to 10; higher ones go first.`,name:`Name`,prompt:`Prompt`,seed:e=>`seed ${e}`,seeds:e=>`${e} seeds`,next:`is next`,before:e=>`${e} before it`,waitsFor:e=>`waits for ${e}`,kept:(e,t)=>e?`${e} of ${t} sections are kept`:`not begun yet`,times:e=>`×${e}`,openBatch:e=>`Show the ${e} videos`,closeBatch:`Hide the videos`,place:e=>`place ${e}`,pick:e=>`Select ${Ve(e)}`,pickAll:e=>`All ${e}`,picked:e=>`${e} selected`,sureCancel:e=>`Cancel ${Be(e,`waiting video`,`waiting videos`)}?`,sureCancelText:`The running video goes on. What was made of the others is kept until you delete them.`,dispatcherAway:e=>`The farm hands out no work at the moment: ${e}. Nothing is lost.`},create:{image:`Start image`,prompt:`Prompt`,generate:`Generate`,added:`It is in the queue.`,whatHappens:`What happens?`}},U=class extends Error{status;code;errors;retryAfterS;constructor(e,t,n,r=[],i=null){super(n),this.status=e,this.code=t,this.errors=r,this.retryAfterS=i}of(e){return this.errors.find(t=>t.field===e||t.field.startsWith(`${e}.`))?.message}},W=P(!1),He=P(!1),Ue=[1,2,4,8,15],We=[0,502,503,504];async function Ge(e,{method:t=`GET`,body:n,signal:r,insist:i=t===`GET`}={}){let a=new Headers({Accept:`application/json`}),o=n instanceof FormData||n instanceof Blob;n&&!o&&a.set(`Content-Type`,`application/json`),t===`POST`&&i&&a.set(`Idempotency-Key`,Ye());let s={method:t,headers:a,credentials:`same-origin`};n&&(s.body=o?n:JSON.stringify(n)),r&&(s.signal=r);for(let t=0;;t++)try{return await qe(e,s)}catch(e){if(!(e instanceof U)||!i||!We.includes(e.status))throw e;await Xe(Ue[Math.min(t,Ue.length-1)]*1e3,r)}}var Ke=(e,t,n)=>Ge(e,{method:`POST`,body:t,insist:!0,...n&&{signal:n}});async function qe(e,t){let n;try{n=await fetch(e,t)}catch(e){throw t.signal?.aborted?e:(W.value=!0,new U(0,`away`,H.away))}if(W.value=We.includes(n.status),n.status===401&&e!==`/v1/session`&&(He.value=!0),!n.ok)throw await Je(n);return n.status===204?void 0:await n.json()}async function Je(e){let t=Number.parseInt(e.headers.get(`Retry-After`)??``,10),n=await e.json().catch(()=>({})),r=typeof n.detail==`string`?n.detail:H.refused(e.status);return new U(e.status,n.code??`http_${e.status}`,r,n.errors??[],Number.isNaN(t)?null:t)}var Ye=()=>Array.from(crypto.getRandomValues(new Uint8Array(16)),e=>e.toString(16).padStart(2,`0`)).join(``);function Xe(e,t){return new Promise((n,r)=>{t?.throwIfAborted();let i=setTimeout(n,e);t?.addEventListener(`abort`,()=>(clearTimeout(i),r(t.reason)),{once:!0})})}var Ze={check:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-check"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20 6 9 17l-5-5" />
</svg>
`,columns:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-columns-3"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M9 3v18" />
  <path d="M15 3v18" />
</svg>
`,copy:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-copy"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="14" height="14" x="8" y="8" rx="2" ry="2" />
  <path d="M4 16c-1.1 0-2-.9-2-2V4c0-1.1.9-2 2-2h10c1.1 0 2 .9 2 2" />
</svg>
`,cpu:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-cpu"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 20v2" />
  <path d="M12 2v2" />
  <path d="M17 20v2" />
  <path d="M17 2v2" />
  <path d="M2 12h2" />
  <path d="M2 17h2" />
  <path d="M2 7h2" />
  <path d="M20 12h2" />
  <path d="M20 17h2" />
  <path d="M20 7h2" />
  <path d="M7 20v2" />
  <path d="M7 2v2" />
  <rect x="4" y="4" width="16" height="16" rx="2" />
  <rect x="8" y="8" width="8" height="8" rx="1" />
</svg>
`,down:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-down"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m6 9 6 6 6-6" />
</svg>
`,download:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-download"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 15V3" />
  <path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4" />
  <path d="m7 10 5 5 5-5" />
</svg>
`,edit:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pencil"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z" />
  <path d="m15 5 4 4" />
</svg>
`,film:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-film"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M7 3v18" />
  <path d="M3 7.5h4" />
  <path d="M3 12h18" />
  <path d="M3 16.5h4" />
  <path d="M17 3v18" />
  <path d="M17 7.5h4" />
  <path d="M17 16.5h4" />
</svg>
`,first:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-up-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 3h14" />
  <path d="m18 13-6-6-6 6" />
  <path d="M12 7v14" />
</svg>
`,grip:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-grip-vertical"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="9" cy="12" r="1" />
  <circle cx="9" cy="5" r="1" />
  <circle cx="9" cy="19" r="1" />
  <circle cx="15" cy="12" r="1" />
  <circle cx="15" cy="5" r="1" />
  <circle cx="15" cy="19" r="1" />
</svg>
`,key:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-key-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z" />
  <circle cx="16.5" cy="7.5" r=".5" fill="currentColor" />
</svg>
`,last:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-down-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 17V3" />
  <path d="m6 11 6 6 6-6" />
  <path d="M19 21H5" />
</svg>
`,left:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-left"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m15 18-6-6 6-6" />
</svg>
`,list:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-list-video"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21 5H3" />
  <path d="M10 12H3" />
  <path d="M10 19H3" />
  <path d="M15 12.003a1 1 0 0 1 1.517-.859l4.997 2.997a1 1 0 0 1 0 1.718l-4.997 2.997a1 1 0 0 1-1.517-.86z" />
</svg>
`,monitor:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-monitor"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="20" height="14" x="2" y="3" rx="2" />
  <line x1="8" x2="16" y1="21" y2="21" />
  <line x1="12" x2="12" y1="17" y2="21" />
</svg>
`,moon:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-moon"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20.985 12.486a9 9 0 1 1-9.473-9.472c.405-.022.617.46.402.803a6 6 0 0 0 8.268 8.268c.344-.215.825-.004.803.401" />
</svg>
`,pause:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pause"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect x="14" y="3" width="5" height="18" rx="1" />
  <rect x="5" y="3" width="5" height="18" rx="1" />
</svg>
`,play:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-play"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 5a2 2 0 0 1 3.008-1.728l11.997 6.998a2 2 0 0 1 .003 3.458l-12 7A2 2 0 0 1 5 19z" />
</svg>
`,plus:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sparkles"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.017 2.814a1 1 0 0 1 1.966 0l1.051 5.558a2 2 0 0 0 1.594 1.594l5.558 1.051a1 1 0 0 1 0 1.966l-5.558 1.051a2 2 0 0 0-1.594 1.594l-1.051 5.558a1 1 0 0 1-1.966 0l-1.051-5.558a2 2 0 0 0-1.594-1.594l-5.558-1.051a1 1 0 0 1 0-1.966l5.558-1.051a2 2 0 0 0 1.594-1.594z" />
  <path d="M20 2v4" />
  <path d="M22 4h-4" />
  <circle cx="4" cy="20" r="2" />
</svg>
`,retry:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-rotate-ccw"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M3 12a9 9 0 1 0 9-9 9.75 9.75 0 0 0-6.74 2.74L3 8" />
  <path d="M3 3v5h5" />
</svg>
`,right:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-right"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m9 18 6-6-6-6" />
</svg>
`,search:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-search"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m21 21-4.34-4.34" />
  <circle cx="11" cy="11" r="8" />
</svg>
`,star:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-star"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.525 2.295a.53.53 0 0 1 .95 0l2.31 4.679a2.123 2.123 0 0 0 1.595 1.16l5.166.756a.53.53 0 0 1 .294.904l-3.736 3.638a2.123 2.123 0 0 0-.611 1.878l.882 5.14a.53.53 0 0 1-.771.56l-4.618-2.428a2.122 2.122 0 0 0-1.973 0L6.396 21.01a.53.53 0 0 1-.77-.56l.881-5.139a2.122 2.122 0 0 0-.611-1.879L2.16 9.795a.53.53 0 0 1 .294-.906l5.165-.755a2.122 2.122 0 0 0 1.597-1.16z" />
</svg>
`,sun:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sun"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="12" r="4" />
  <path d="M12 2v2" />
  <path d="M12 20v2" />
  <path d="m4.93 4.93 1.41 1.41" />
  <path d="m17.66 17.66 1.41 1.41" />
  <path d="M2 12h2" />
  <path d="M20 12h2" />
  <path d="m6.34 17.66-1.41 1.41" />
  <path d="m19.07 4.93-1.41 1.41" />
</svg>
`,trash:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-trash-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M10 11v6" />
  <path d="M14 11v6" />
  <path d="M19 6v14a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V6" />
  <path d="M3 6h18" />
  <path d="M8 6V4a2 2 0 0 1 2-2h4a2 2 0 0 1 2 2v2" />
</svg>
`,user:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-user-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="8" r="5" />
  <path d="M20 21a8 8 0 0 0-16 0" />
</svg>
`,x:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M18 6 6 18" />
  <path d="m6 6 12 12" />
</svg>
`},Qe=({name:e})=>c(`span`,{class:`icon`,"aria-hidden":`true`,dangerouslySetInnerHTML:{__html:Ze[e].replace(/<!--.*?-->/s,``)}}),$e={hello:null,farm:{dispatcher:`ok`,store:`ok`},videos:new Map,queue:[],workers:new Map,previews:new Map};function et(e,t){switch(t.kind){case`hello`:return{...e,hello:t.data,workers:new Map};case`reset`:return{...e,queue:[],previews:new Map};case`video`:return rt(e,t.data);case`progress`:return it(e,t.data);case`queue`:return at(e,t.data.ids,t.data.positions);case`gone`:return t.data.object===`worker`?{...e,workers:G(e.workers,t.data.id)}:{...e,videos:G(e.videos,t.data.id),previews:G(e.previews,t.data.id)};case`worker`:return{...e,workers:new Map(e.workers).set(t.data.id,t.data)};case`farm`:return{...e,farm:t.data};case`preview`:return{...e,previews:new Map(e.previews).set(t.data.id,t.data)}}}function tt(e,t,n=!1){let r=new Map(n?[...e.videos].filter(([,e])=>!ie(e)):e.videos);for(let n of t)r.set(n.id,nt(e.videos.get(n.id),n));return{...e,videos:r}}function nt(e,t){return t.request||!e?.request?t:{...t,request:{...e.request,prompt:t.prompt,name:t.name}}}var rt=(e,t)=>({...e,videos:new Map(e.videos).set(t.id,nt(e.videos.get(t.id),t)),previews:ie(t)?e.previews:G(e.previews,t.id)});function it(e,{id:t,...n}){let r=e.videos.get(t);return r?{...e,videos:new Map(e.videos).set(t,{...r,...n})}:e}function at(e,t,n){let r=new Map(e.videos);return t.forEach((e,t)=>{let[i,a]=[r.get(e),n[t]??null];i&&i.queue_position!==a&&r.set(e,{...i,queue_position:a})}),{...e,queue:t,videos:r}}function G(e,t){if(!e.has(t))return e;let n=new Map(e);return n.delete(t),n}function ot(e){let t=new Map(e.queue.map((e,t)=>[e,t])),n=n=>t.get(n.id)??e.queue.length+n.created_at;return[...e.videos.values()].filter(e=>e.status===`queued`).sort((e,t)=>n(e)-n(t))}var st=(e,t)=>[...e.videos.values()].filter(e=>e.status===t).sort((e,t)=>e.created_at-t.created_at),K=P($e),ct=P(!1),lt=e=>{K.value=et(K.value,e)},ut=(e,t=!1)=>{K.value=tt(K.value,e,t)},q=I(()=>st(K.value,`in_progress`)),J=I(()=>ot(K.value)),dt=I(()=>st(K.value,`paused`)),Y=I(()=>[...K.value.workers.values()].sort((e,t)=>e.id.localeCompare(t.id))),ft=I(()=>q.value.length+J.value.length+dt.value.length),pt=I(()=>{let e=Y.value.filter(e=>e.state===`idle`||e.state===`busy`).length;return Y.value.length?`${e}/${Y.value.length}`:``}),mt=I(()=>[[q.value[0]&&`${q.value[0].progress} %`,J.value.length&&`${J.value.length} wait`].filter(Boolean).join(` · `),`framepack-farm`].filter(Boolean).join(` – `)),X=P(null),ht;function gt(e,t={}){clearTimeout(ht),X.value={text:e,...t},ht=setTimeout(()=>X.value=null,t.isBad?1e4:5e3)}function _t(){let e=X.value;return c(`div`,{class:`toasts`,role:`status`,children:e&&c(`div`,{class:`toast ${e.isBad?`bad`:``}`,children:[c(`span`,{children:e.text}),e.undo&&c(`button`,{class:`quiet`,onClick:()=>{X.value=null,e.undo?.()},children:H.act.undo})]})})}var Z=[`system`,`light`,`dark`],vt=`framefarm-theme`,yt=localStorage.getItem(vt),Q=P(Z.find(e=>e===yt)??`system`);R(()=>{localStorage.setItem(vt,Q.value),document.documentElement.style.colorScheme=Q.value===`system`?`light dark`:Q.value});var bt=()=>{Q.value=Z[(Z.indexOf(Q.value)+1)%Z.length]},xt=x(()=>C(()=>import(`./create-BrZromAb.js`),__vite__mapDeps([0,1]))),St=x(()=>C(()=>import(`./queue-CkHg2RuT.js`),__vite__mapDeps([2,3,1]))),Ct=x(()=>C(()=>import(`./library-D_YZ0KpJ.js`),__vite__mapDeps([4,1]))),wt=x(()=>C(()=>import(`./video-Q4GD_ltD.js`),__vite__mapDeps([5,3,1]))),Tt=x(()=>C(()=>import(`./workers-C1B9VxYG.js`),__vite__mapDeps([6,1]))),Et={system:`monitor`,light:`sun`,dark:`moon`};function Dt(){return c(g,{scope:`/ui/`,children:[c(`a`,{class:`skip`,href:`#main`,children:H.skip}),c(Ot,{}),W.value&&c(`p`,{class:`away`,role:`status`,children:H.away}),c(`main`,{id:`main`,tabIndex:-1,children:c(pe,{children:c(_,{children:[c(y,{path:`/ui/`,component:xt}),c(y,{path:`/ui/queue`,component:St}),c(y,{path:`/ui/library`,component:Ct}),c(y,{path:`/ui/videos/:id`,component:wt}),c(y,{path:`/ui/workers`,component:Tt}),c(y,{default:!0,component:At})]})})}),c(_t,{})]})}function Ot(){return c(`header`,{class:`top`,children:[c(`a`,{class:`brand`,href:`/ui/`,children:[c(`img`,{src:`/ui/mark.svg`,alt:``,width:`24`,height:`24`}),c(`span`,{children:H.farm})]}),c(`nav`,{class:`tabs`,"aria-label":H.main,children:[c(kt,{to:`/ui/`,icon:`plus`,text:H.nav.create}),c(kt,{to:`/ui/queue`,icon:`list`,text:H.nav.queue,count:ft.value?`${ft.value}`:``}),c(kt,{to:`/ui/library`,icon:`film`,text:H.nav.library}),c(kt,{to:`/ui/workers`,icon:`cpu`,text:H.nav.workers,count:pt.value})]}),c(`div`,{class:`top-end`,children:c(`button`,{class:`quiet square`,onClick:bt,"aria-label":`${H.theme.title}: ${H.theme[Q.value]}`,title:H.theme[Q.value],children:c(Qe,{name:Et[Q.value]})})})]})}function kt({to:e,icon:t,text:n,count:r=``}){let{path:i}=de();return c(`a`,{href:e,"aria-current":i===e?`page`:void 0,children:[c(Qe,{name:t}),n,c(`span`,{class:`count`,"aria-hidden":`true`,children:r})]})}var At=()=>c(`section`,{class:`empty`,children:[c(`p`,{children:H.notHere}),c(`a`,{class:`button`,href:`/ui/`,children:H.toCreate})]}),jt=[`hello`,`reset`,`video`,`progress`,`queue`,`gone`,`worker`,`farm`,`preview`],Mt=20,Nt=50,Pt=[],$=null,Ft;function It(){R(()=>void(document.title=mt.value)),R(()=>{He.value?Rt():document.hidden||Lt()}),document.addEventListener(`visibilitychange`,()=>{clearTimeout(Ft),document.hidden?Ft=setTimeout(Bt,Mt*1e3):Lt()})}function Lt(){if($||He.value)return;let e=new URLSearchParams(Pt.map(e=>[`preview`,e])),t=new EventSource(`/v1/events${e.size?`?${e}`:``}`);$=t;for(let e of jt)t.addEventListener(e,t=>{W.value=!1,lt({kind:e,data:JSON.parse(t.data)}),(e===`reset`||e===`hello`&&!ct.value)&&Vt()});t.onerror=()=>{t===$&&(W.value=!0,t.readyState===EventSource.CLOSED&&zt())}}function Rt(){$?.close(),$=null}async function zt(){Rt(),await Xe(2e3),await Vt().catch(()=>void 0),Lt()}function Bt(){Rt(),Vt().finally(()=>{document.hidden&&(Ft=setTimeout(Bt,Nt*1e3))})}async function Vt(){ut((await Promise.all(ae.map(e=>Ht(`/v1/videos?limit=100&order=asc&status=${e}`)))).flat(),!0),ct.value=!0}async function Ht(e){let t=[];for(let n=``;n!==null;){let r=await Ge(`${e}${n&&`&after=${n}`}`);t.push(...r.data),n=r.has_more?r.last_id:null}return t}It(),n(c(Dt,{}),document.getElementById(`page`));export{J as a,K as c,Ge as d,Ke as f,fe as g,P as h,dt as i,Qe as l,Ie as m,ct as n,q as o,H as p,ut as r,Y as s,gt as t,U as u};